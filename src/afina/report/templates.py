"""The page's templates; all values are escaped, unless they are markup from another template."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from afina.report.formatting import clean

_HERE = Path(__file__).parent


def fill(name: str, **values: Any) -> Markup:
    """Fill in one of the macros of sections.html.

    Example:
        >>> fill("note", text="<b>")
        Markup('<p class="note">&lt;b&gt;</p>')
    """
    macro = getattr(_templates().get_template("sections.html").module, name)
    return Markup(macro(**values))  # noqa: S704 - a macro escapes its values


def fill_page(*, title: str, body: Markup) -> str:
    """Fill in page.html, the frame around all sections.

    Args:
        title: the page's title.
        body: all sections.
    """
    style, draw, library = (Markup(_read(name)) for name in ("page.css", "draw.js", "vega.js"))  # noqa: S704 - our own files
    page = _templates().get_template("page.html")
    return page.render(title=title, body=body, style=style, draw=draw, library=library)


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def breakable(text: str) -> Markup:
    """Let a name break after an underscore, but not within a word.

    Example:
        >>> breakable("log_<b>")
        Markup('log_<wbr>&lt;b&gt;')
    """
    return Markup("_<wbr>").join(map(escape, text.split("_")))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["clean"] = clean
    environment.filters["breakable"] = breakable
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment
