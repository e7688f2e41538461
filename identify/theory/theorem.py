"""One theorem: its statement, scope and reference, and its test on random instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from identify.base.errors import InputError
from identify.base.options import valid_seed, whole
from identify.planting.configuration import Configuration
from identify.problem.system import SELF_TRAINED
from identify.theory.trials import TheoremTrials, Trial


@dataclass(frozen=True)
class Seen:
    """Whether the hypotheses hold at an instance, whether the conclusion was observed (None: not settled), and the evidence."""

    hypothesis: bool
    conclusion: bool | None
    evidence: str


Draw = Callable[[Configuration, int], Any]
"""An instance of a configuration for a seed, with its ``config``; None if this configuration does not have one."""


@dataclass(frozen=True, kw_only=True)
class Theorem:
    """A theorem that verdicts rest on.

    Attributes
    ----------
    name, title
        Key in ``theorems``, and a title.
    statement
        One or two sentences; formulas are LaTeX between dollar signs.
    hypotheses
        Each one separately.
    conclusion
        What follows.
    scope
        Networks and data that it is about.
    reference
        Paper and theorem.
    condition
        Name of the condition of a report that uses it, or None.
    configuration
        Sizes with which it is verified unless others are given.
    """

    name: str
    title: str
    statement: str
    hypotheses: tuple[str, ...]
    conclusion: str
    scope: str
    reference: str
    condition: str | None
    configuration: Configuration
    examine: Callable[[Any], Seen]
    draw: Draw
    nearest: tuple[tuple[str, Draw], ...]

    def verify(
        self,
        config: Configuration | None = None,
        trials: int = 20,
        seed: int = 0,
        *,
        progress: Callable[[str], None] = lambda step: None,
    ) -> TheoremTrials:
        """Test the theorem on random instances, and on instances that violate its hypotheses as little as possible.

        Parameters
        ----------
        config
            Sizes; None takes :attr:`configuration`. Keep them small: solutions are counted by Gröbner bases or searched for.
        trials
            Instances drawn as configured, at least 1, and as many nearest violations.
        seed
            Seed of the first instance; the others follow. All are from 0 to 2^53 - 1.
        progress
            Called before each instance.

        Returns
        -------
        TheoremTrials
            ``passed`` unless there is a counterexample. Conclusions are observed by other means than the evaluation of the
            hypotheses, and each row names them: exact counts are proofs for their instance, searches are evidence. "Generic" cannot be
            tested: a counterexample to a generic statement may be one of the exceptional instances that it excludes.

        Raises
        ------
        ValueError
            For sizes outside the scope of the theorem, a self-trained regime, fewer than one trial, or a seed out of range.

        Notes
        -----
        Cost: milliseconds to seconds for each instance of the default sizes; others may wait a minute for a Gröbner basis.
        """
        trials = whole("trials", trials)
        seed = valid_seed(seed, runs=trials)
        if config is not None and not isinstance(config, Configuration):
            raise InputError(f"config: received {type(config).__name__}, expected a Configuration, or None for the default sizes")
        sizes = self.configuration if config is None else config
        if sizes.regime in SELF_TRAINED:
            raise InputError(f"config: received regime {sizes.regime}, expected gradient or lazy; trials draw data for any network")
        rows = [self._trial("as configured", self.draw, sizes, seed + k, progress) for k in range(trials)]
        if rows[0] is None:
            raise InputError(f"config: received {sizes_of(sizes)}; the theorem {self.name} has no such instance: {self.hypotheses[0]}")
        for k in range(trials if self.nearest else 0):
            label, draw = self.nearest[(seed + k) % len(self.nearest)]
            rows.append(self._trial(label, draw, sizes, seed + k, progress))
        return TheoremTrials(self.name, self.title, seed, tuple(row for row in rows if row is not None))

    def _trial(self, label: str, draw: Draw, config: Configuration, seed: int, progress: Callable[[str], None]) -> Trial | None:
        progress(f"{self.name}: {label}, seed {seed}")
        case = draw(config, seed)
        if case is None:
            return None
        seen = self.examine(case)
        return Trial(seed, f"{label}: {sizes_of(case.config)}", seen.hypothesis, seen.conclusion, seen.evidence)

    def to_dict(self) -> dict[str, Any]:
        """The theorem as JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "statement": self.statement,
            "hypotheses": list(self.hypotheses),
            "conclusion": self.conclusion,
            "scope": self.scope,
            "reference": self.reference,
            "condition": self.condition,
        }

    def to_markdown(self) -> str:
        """The theorem without its title, as Markdown; formulas are LaTeX between dollar signs."""
        hypotheses = "\n".join(f"{k}. {text}" for k, text in enumerate(self.hypotheses, 1))
        condition = "" if self.condition is None else f" Condition of the report: `{self.condition}`."
        return (
            f"{self.statement}\n\n{hypotheses}\n\n*Then* {self.conclusion}.\n\nScope: {self.scope}. Reference: {self.reference}.{condition}"
        )

    def _repr_markdown_(self) -> str:
        lines = f"**Theorem: {self.title}**\n\n{self.to_markdown()}".splitlines()
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.title} ({self.name})",
                f"  {self.statement}",
                *(f"  Hypothesis: {text}" for text in self.hypotheses),
                f"  Conclusion: {self.conclusion}",
                f"  Scope: {self.scope}",
                f"  Reference: {self.reference}",
                f"  Condition of the report: {self.condition or 'none'}",
            ]
        )

    def __repr__(self) -> str:
        return f"Theorem({self.name!r}: {self.title})"


def sizes_of(config: Configuration) -> str:
    """A configuration in a few characters."""
    options = (
        [f"C={config.outputs}"] * (config.outputs > 1) + ["bias"] * config.bias + [f"{config.layers} layer"] * (config.layers != "both")
    )
    return ", ".join([f"{config.activation}", f"d={config.inputs} n={config.samples} m={'-'.join(map(str, config.widths))}", *options])
