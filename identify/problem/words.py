"""The equations of a system in words and formulas, as reports and the command line print them."""

from __future__ import annotations

from collections.abc import Sequence

from identify.problem.gradients import Observed

LEFT = {
    "gradient": ("−∂loss/∂w_j", "−∂loss/∂b_j", "−∂loss/∂a_j"),
    "lazy": ("Δw_j", "Δb_j", "Δa_j"),
    "weight-decay": ("decay·w_j", "decay·b_j", "decay·a_j"),
    "max-margin": ("w_j", "b_j", "a_j"),
}
DEEP_LEFT = {"gradient": "−∂loss/∂{}", "lazy": "Δ{}", "weight-decay": "decay·{}", "max-margin": "{}"}


def layers_in_words(
    regime: str, observed: Sequence[tuple[bool, bool]], biases: Sequence[bool], outputs: int, margins: bool, closure: bool
) -> tuple[str, ...]:
    """(S) layer by layer, for a network of any depth: ``observed`` says for each layer whether its weights and its bias are."""
    lines = []
    for k, (weights, bias) in enumerate(observed, 1):
        before = "x_i" if k == 1 else f"h_i^{k - 1}"
        if weights:
            lines.append(f"{DEEP_LEFT[regime].format(f'W_{k}')} = Σ_i u_i^{k} ({before})ᵀ")
        if bias:
            lines.append(f"{DEEP_LEFT[regime].format(f'b_{k}')} = Σ_i u_i^{k}")
    last = len(observed)
    offset = [f" + b_{k}" if has else "" for k, has in enumerate(biases, 1)]
    lines.append(
        "with "
        + ",  ".join(
            f"z_i^{k} = W_{k} {'x_i' if k == 1 else f'h_i^{k - 1}'}{offset[k - 1]}, h_i^{k} = σ_{k}(z_i^{k})" for k in range(1, last)
        )
    )
    lines.append(f"and u_i^{last} = γ_i,  u_i^l = σ_l'(z_i^l) ∘ W_(l+1)ᵀ u_i^(l+1)")
    return (*lines, *_side_conditions(regime, outputs, margins, closure))


def _side_conditions(regime: str, outputs: int, margins: bool, closure: bool) -> list[str]:
    lines = []
    if regime == "max-margin" and outputs > 1:
        lines.append("without the margins, which are stated for one output only")
    elif regime == "max-margin":
        lines.append("λ_i ≥ 0,  y_i f(x_i) ≥ 1,  λ_i (y_i f(x_i) − 1) = 0")
        if margins:
            lines.append("y_i f(x_i) = 1   for every support sample (labels given)")
    if closure:
        lines.append("λ_i y_i = −ℓ'(f(x_i), y_i)/n   (closure; not polynomial for the logistic loss)")
    return lines


def equations_in_words(regime: str, observed: Observed, bias: bool, outputs: int, margins: bool, closure: bool) -> tuple[str, ...]:
    """(S) component by component, with its side conditions (theory, section 1)."""
    z = "w_j·x_i + b_j" if bias else "w_j·x_i"
    weight = "a_j Σ_i λ_i y_i" if outputs == 1 else "Σ_i (A_·j·γ_i)"
    left = LEFT[regime]
    second = "Σ_i λ_i y_i" if outputs == 1 else "Σ_i γ_i"
    lines = []
    if observed.W:
        lines.append(f"{left[0]} = {weight} σ'({z}) x_i   for every neuron j")
    if observed.bias:
        lines.append(f"{left[1]} = {weight} σ'({z})")
    if observed.a:
        lines.append(f"{left[2]} = {second} σ({z})")
    return (*lines, *_side_conditions(regime, outputs, margins, closure))
