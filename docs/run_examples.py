"""Build hook: fenced blocks marked ``exec`` are run and followed by what they print, so that no output here can drift.

``console exec`` runs every line that starts with ``$`` (with ``stderr``: standard error is shown too); ``python exec`` runs
in one namespace per page; ``python exec markdown`` puts what is printed into the page in place of the code. ``head=N`` cuts
the output after N lines. A page has one scratch folder; PNG files that are written there become files beside the page. A
failure fails the build.
"""

from concurrent.futures import Future
from pathlib import Path

import running
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from mkdocs.utils import meta

DEAR = (
    "responsible-use.md",
    "command-line.md",
    "audit.md",
    "attacks.md",
    "lab/recovery.md",
    "sweeps.md",
    "which-layers.md",
    "theorems.md",
    "kkt-equations.md",
    "getting-started.md",
    "certificates.md",
    "own-network.md",
    "own-attack.md",
    "federated.md",
)
"""Pages that take more than 5 seconds of a processor, dearest first: no process waits at the end for one that began late."""
started: dict[str, tuple[str, Future]] = {}


def on_files(files, config):
    """All pages are begun before the first one is rendered, the dear ones first, then those with the most examples."""
    started.clear()
    root = Path(config.config_file_path).parent
    texts = {file.src_uri: meta.get_data(file.content_string)[0] for file in files.documentation_pages()}
    for name in sorted(texts, key=lambda name: (DEAR.index(name) if name in DEAR else len(DEAR), -len(running.FENCE.findall(texts[name])))):
        if running.FENCE.search(texts[name]):
            started[name] = texts[name], running.start(running.page, root, name, texts[name])


def on_page_markdown(markdown, page, config, files, **_):
    name = page.file.src_uri
    if name not in started:
        return markdown
    text, future = started[name]
    if text != markdown:
        raise PluginError(f"{name}: another hook has changed the page after its examples were begun")
    try:
        done, pictures = future.result()
    except Exception as error:
        running.stop()
        raise PluginError(f"{name}: {error}") from error
    for picture, content in pictures.items():
        place = Path(name).with_name(picture).as_posix()
        if files.get_file_from_path(place) is not None:
            raise PluginError(f"{name}: a picture {place} exists already")
        files.append(File.generated(config, place, content=content))
    return done


def on_post_build(**_):
    running.stop()
