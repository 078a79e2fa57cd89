"""A page of HTML as a test sees it: its tags, its text, and what is wrong with it."""

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "path", "use", "circle", "rect"}


class Page(HTMLParser):
    """The tags in order with their attributes, and the text outside of style."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(source)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> where {self.open[-3:]} is open")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def problems(self) -> list[str]:
        """What a page must not have that stands alone, is read aloud and is read in a narrow window."""
        out = list(self.faults)
        ids = Counter(attributes["id"] for _, attributes in self.tags if "id" in attributes)
        out += [f"id {name} twice" for name, count in ids.items() if count > 1]
        for tag, attributes in self.tags:
            for name in ("src", "href", "xlink:href", "srcset", "action", "poster"):
                target = attributes.get(name)
                if target is None:
                    continue
                if target.startswith("#"):
                    out += [] if target[1:] in ids else [f"{target} leads nowhere"]
                elif not target.startswith("data:"):
                    out.append(f"<{tag}> loads {target[:60]}")
            out += [f"<{tag}> has {name}" for name in attributes if name.startswith("on")]
        out += [f"<{tag}>" for tag, _ in self.tags if tag in ("script", "iframe", "object", "embed", "base")]
        out += ["an address of a server"] if "://" in self.source or "url(//" in self.source else []
        out += ["@import"] if "@import" in self.source else []
        out += ["an image without alt" for one in self.all("img") if not one.get("alt")]
        out += ["a chart without a label" for one in self.all("svg") if not one.get("aria-label") and "aria-hidden" not in one]
        out += ["a caption that scrolls away with its table"] if self.all("caption") else []
        out += ["th without scope" for one in self.all("th") if one.get("scope") not in ("col", "row", "rowgroup")]
        html = self.all("html")
        out += [] if html and html[0].get("lang") == "en" else ["no lang"]
        out += [] if any(one.get("name") == "viewport" for one in self.all("meta")) else ["no viewport"]
        out += [] if len(self.all("title")) == 1 and len(self.all("h1")) == 1 else ["not one title and one h1"]
        return out
