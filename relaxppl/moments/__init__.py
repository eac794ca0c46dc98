"""Moments, entropies and divergences of laws, as closed forms or by quadrature."""
