"""The files of an audit: the page with its pictures, the JSON and the certificates, in a folder, all of them or none."""

from __future__ import annotations

import json
import re
from pathlib import Path

from identify.auditing.page import write_audit_page, write_audit_pdf
from identify.auditing.result import Audit
from identify.base.errors import InputError
from identify.base.extras import MissingExtraError
from identify.base.files import together
from identify.base.options import natural


def save(audit: Audit, folder: Path) -> list[Path]:
    """Write the files; see :meth:`Audit.save`."""
    texts = {"report.json": audit.to_json() + "\n"}
    texts |= {
        f"{name}.certificate.json": proof.to_json() + "\n"
        for name, proof in sorted(audit.certificates.items(), key=lambda item: natural(item[0]))
    }
    missing, page = None, list[str]()
    try:
        with together(folder, older_files) as staged:
            for name, text in texts.items():
                (staged / name).write_text(text, encoding="utf-8")
            try:
                page = write_audit_page(staged, audit)
            except MissingExtraError as error:
                missing = error
    except OSError as error:
        raise InputError(f"out: {folder} cannot be written ({error.strerror}); choose another folder") from None
    if missing is not None:
        raise missing
    return [folder / name for name in (*page, *texts)]


def save_pdf(audit: Audit, path: Path) -> list[Path]:
    """Write one PDF file; see :meth:`Audit.save`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return [write_audit_pdf(path, audit)]
    except OSError as error:
        raise InputError(f"pdf: {path} cannot be written ({error.strerror}); choose another file") from None


def older_files(folder: Path) -> list[Path]:
    """The files that :func:`save` has written there before."""
    try:
        older = json.loads((folder / "report.json").read_bytes())
        if "audit" not in older:  # of another program
            return []
        findings = "|".join(re.escape(finding["name"]) for finding in older["findings"])
        proofs = "|".join(map(re.escape, older["certificates"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # there is none
        return []
    own = re.compile(rf"report\.html|({findings})(-\d+)?\.png|({proofs})\.certificate\.json")
    return [path for path in folder.iterdir() if own.fullmatch(path.name)]
