"""What AutoDiscrete refuses, and the way out of it."""

from __future__ import annotations

from collections.abc import Iterable


def no_discrete_site(latents: Iterable[str], relaxed: Iterable[str]) -> ValueError:
    """Returns the refusal of a model without discrete latent sites."""
    sites, relaxed = list(latents), list(relaxed)
    found = f"its latent sites are {', '.join(map(repr, sites))}" if sites else "it has none at all"
    if relaxed:
        return ValueError(
            f"AutoDiscrete: {', '.join(map(repr, relaxed))} of the model is relaxed already. Give "
            "AutoDiscrete the discrete model and relax the guide: relax(AutoDiscrete(model), ...)"
        )
    return ValueError(
        f"AutoDiscrete: the model has no discrete latent site ({found}); use AutoNormal"
    )


def unknown_law(name: str, law: str) -> ValueError:
    """Returns the refusal of a site for which there is no mean-field law here."""
    return ValueError(
        f"AutoDiscrete: the site {name!r} is a {law}, for which it has no guide. It has one for "
        "Bernoulli, Categorical, OneHotCategorical, MarkovChain and for scalar counts from zero. "
        f"Write this site's guide and put both in rx.AutoGuideList, hiding {name!r} from "
        "AutoDiscrete's model with the handler block"
    )


def unknown_size(name: str, law: str) -> ValueError:
    """Returns the refusal of a count whose number of values is not known."""
    return ValueError(
        f"AutoDiscrete: the site {name!r} is a {law} and the number of values to keep cannot be "
        f"found from its parameters here; give it, sizes={{{name!r}: n}} for the counts "
        "0, ..., n - 1"
    )


def unknown_names(argument: str, names: Iterable[str], sites: Iterable[str]) -> ValueError:
    """Returns the refusal of an argument that names a site which is not there."""
    return ValueError(
        f"AutoDiscrete: {argument} names {', '.join(map(repr, sorted(names)))}, but the discrete "
        f"latent sites of the model are {', '.join(map(repr, sites))}"
    )


def wrong_logits(
    name: str, found: tuple[int, ...], batch: tuple[int, ...], event: tuple[int, ...]
) -> ValueError:
    """Returns the refusal of amortised logits of the wrong shape."""
    return ValueError(
        f"AutoDiscrete: amortize gave logits of shape {found} for the site {name!r}, which needs "
        f"{(*batch, *event)}: its batch {batch}, then {event}"
    )


def uncovered(names: Iterable[str]) -> ValueError:
    """Returns the refusal of a continuous guide that leaves latent sites out."""
    return ValueError(
        f"AutoDiscrete: the continuous guide has no {', '.join(map(repr, sorted(names)))}; give "
        "continuous= a class or a function of the model, which then sees every continuous site"
    )


def unknown_structure(structure: object, allowed: Iterable[str]) -> ValueError:
    """Returns the refusal of a structure that there is not."""
    return ValueError(
        f"AutoDiscrete: structure must be {' or '.join(map(repr, allowed))}, or a dict from sites "
        f"to these, got {structure!r}"
    )


def subsampled_together(name: str, plate: str) -> ValueError:
    """Returns the refusal of a subsampled plate whose elements depend on each other."""
    return ValueError(
        f"AutoDiscrete: the elements of the site {name!r} meet in a factor outside the plate "
        f"{plate!r}, which is subsampled, so that no step sees the elements that depend on each "
        f"other. Leave them independent by structure={{{name!r}: 'mean_field', ...}}, or take the "
        "whole plate"
    )


def no_chain(name: str, shape: tuple[int, ...]) -> ValueError:
    """Returns the refusal of a chain along more than one axis."""
    return ValueError(
        f"AutoDiscrete: the variables of the site {name!r} have the shape {shape}, and more than "
        "one axis of it lies in no plate whose elements are independent, so that it is no chain. "
        "Put the series in a plate and leave time alone outside of plates; or take "
        f"structure={{{name!r}: 'autoregressive', ...}}"
    )


def given_in_part(name: str, missing: Iterable[str]) -> ValueError:
    """Returns the refusal of logits for some steps of a series alone."""
    return ValueError(
        f"AutoDiscrete: the sites of a loop that the chain {name!r} draws together got amortised "
        f"logits, but {', '.join(map(repr, missing))} got none. Give logits for every step; or "
        "leave the steps independent by structure={...}, which names the choice of each site"
    )


def two_networks() -> ValueError:
    """Returns the refusal of logits from two places."""
    return ValueError(
        "AutoDiscrete: amortize and network both give logits. Give network= (and inputs=) for "
        "features to which the guide adds the last layer, or amortize= for a function that returns "
        "the logits themselves"
    )


def no_rows(name: str, shape: tuple[int, ...]) -> ValueError:
    """Returns the refusal of features that are no rows."""
    return ValueError(
        f"AutoDiscrete: the network gave features of the shape {shape} for the site {name!r}; it "
        "must take all rows at once, (N, ...), and return (N, F)"
    )


def no_row_plate(sites: Iterable[str], rows: int) -> ValueError:
    """Returns the refusal of a network where no site lies in a plate of its rows."""
    return ValueError(
        f"AutoDiscrete: the network sees {rows} rows, and no discrete site of the model has a "
        f"leftmost plate of so many: {', '.join(map(repr, sites))}. Put them in a plate of the "
        "rows; or say by inputs= which rows the network sees"
    )
