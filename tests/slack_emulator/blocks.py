"""What Slack's validation says of blocks and views (docs.slack.dev, reference/block-kit and views).

`problems` gives the messages that Slack puts into `response_metadata.messages`; none means accepted.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

MAX_MESSAGE_BLOCKS = 50
MAX_MODAL_BLOCKS = 100
# msg_blocks_too_long is not documented; users meet it at some 13,200 characters (slackapi/bolt-js#2509)
MAX_BLOCKS_JSON = 13_200
MAX_VIEW_BYTES = 250 * 1024

_MESSAGE_BLOCKS = {"actions", "context", "divider", "header", "image", "rich_text", "section"}
_MODAL_BLOCKS = _MESSAGE_BLOCKS | {"input"}
_STYLES = {"bold", "italic", "strike", "code"}


class _Check:
    """Walks one list of blocks and notes what is wrong with it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def wrong(self, where: str, what: str) -> None:
        self.found.append(f"[ERROR] {what} [json-pointer:{where}]")

    def fields(self, where: str, item: Any, required: set[str], optional: set[str]) -> bool:
        if not isinstance(item, dict):
            self.wrong(where, "must be an object")
            return False
        for name in sorted(required - item.keys()):
            self.wrong(where, f"missing required field: {name}")
        for name in sorted(item.keys() - required - optional):
            self.wrong(f"{where}/{name}", f"invalid additional property: {name}")
        return required <= item.keys()

    def string(self, where: str, value: Any, most: int, least: int = 1) -> None:
        if not isinstance(value, str):
            self.wrong(where, "must be a string")
        elif len(value) < least:
            self.wrong(where, f"must be more than {least - 1} characters")
        elif len(value) > most:
            self.wrong(where, f"must be less than {most + 1} characters")

    def items(self, where: str, value: Any, most: int) -> list[Any]:
        if not isinstance(value, list):
            self.wrong(where, "must be an array")
            return []
        if not value:
            self.wrong(where, "no fewer than 1 items allowed")
        if len(value) > most:
            self.wrong(where, f"no more than {most} items allowed")
        return value

    def kind(self, where: str, item: Any, allowed: set[str]) -> str:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind not in allowed:
            self.wrong(f"{where}/type", f"unsupported type: {kind}")
            return ""
        return str(kind)

    def text(self, where: str, item: Any, most: int, *, plain: bool = False) -> None:
        kind = self.kind(where, item, {"plain_text"} if plain else {"plain_text", "mrkdwn"})
        if not kind:
            return
        extra = {"emoji"} if kind == "plain_text" else {"verbatim"}
        if self.fields(where, item, {"type", "text"}, extra):
            self.string(f"{where}/text", item["text"], most)

    def block(self, where: str, block: Any, allowed: set[str]) -> None:
        match self.kind(where, block, allowed):
            case "":
                return
            case "header":
                if self.fields(where, block, {"type", "text"}, {"block_id"}):
                    self.text(f"{where}/text", block["text"], 150, plain=True)
            case "section":
                self.fields(where, block, {"type"}, {"block_id", "text", "fields", "accessory", "expand"})
                if "text" not in block and "fields" not in block:
                    self.wrong(where, "missing required field: text or fields")
                if "text" in block:
                    self.text(f"{where}/text", block["text"], 3000)
                for at, item in enumerate(self.items(f"{where}/fields", block.get("fields", [{}]), 10)):
                    if "fields" in block:
                        self.text(f"{where}/fields/{at}", item, 2000)
                if "accessory" in block:
                    self.element(f"{where}/accessory", block["accessory"], {"button"})
            case "context":
                if self.fields(where, block, {"type", "elements"}, {"block_id"}):
                    for at, item in enumerate(self.items(f"{where}/elements", block["elements"], 10)):
                        self.text(f"{where}/elements/{at}", item, 3000)
            case "divider":
                self.fields(where, block, {"type"}, {"block_id"})
            case "image":
                if self.fields(where, block, {"type", "alt_text", "image_url"}, {"block_id", "title"}):
                    self.string(f"{where}/alt_text", block["alt_text"], 2000)
            case "actions":
                if self.fields(where, block, {"type", "elements"}, {"block_id"}):
                    elements = self.items(f"{where}/elements", block["elements"], 25)
                    for at, item in enumerate(elements):
                        self.element(f"{where}/elements/{at}", item, {"button"})
                    self.unique(where, "action_id", elements)
            case "input":
                required = {"type", "label", "element"}
                if self.fields(where, block, required, {"block_id", "hint", "optional", "dispatch_action"}):
                    self.text(f"{where}/label", block["label"], 2000, plain=True)
                    self.element(f"{where}/element", block["element"], {"plain_text_input"})
            case "rich_text":
                if self.fields(where, block, {"type", "elements"}, {"block_id"}):
                    for at, item in enumerate(self.items(f"{where}/elements", block["elements"], 1000)):
                        self.rich(f"{where}/elements/{at}", item)
        if "block_id" in block:
            self.string(f"{where}/block_id", block["block_id"], 255)

    def element(self, where: str, item: Any, allowed: set[str]) -> None:
        match self.kind(where, item, allowed):
            case "button":
                optional = {"action_id", "url", "value", "style", "confirm", "accessibility_label"}
                if self.fields(where, item, {"type", "text"}, optional):
                    self.text(f"{where}/text", item["text"], 75, plain=True)
                if item.get("style", "primary") not in {"primary", "danger"}:
                    self.wrong(f"{where}/style", "must be a valid enum value")
                self.string(f"{where}/value", item.get("value", ""), 2000, 0)
            case "plain_text_input":
                optional = {"action_id", "initial_value", "multiline", "min_length", "max_length"}
                self.fields(
                    where,
                    item,
                    {"type"},
                    optional | {"placeholder", "focus_on_load", "dispatch_action_config"},
                )
                if not 0 <= item.get("min_length", 0) <= 3000 or not 1 <= item.get("max_length", 1) <= 3000:
                    self.wrong(where, "must be between 1 and 3000")
                if "placeholder" in item:
                    self.text(f"{where}/placeholder", item["placeholder"], 150, plain=True)
            case _:
                return
        if "action_id" in item:
            self.string(f"{where}/action_id", item["action_id"], 255)

    def rich(self, where: str, item: Any) -> None:
        allowed = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
        match self.kind(where, item, allowed):
            case "rich_text_list":
                if self.fields(where, item, {"type", "style", "elements"}, {"indent", "offset", "border"}):
                    if item["style"] not in {"bullet", "ordered"}:
                        self.wrong(f"{where}/style", "must be a valid enum value")
                    for at, inner in enumerate(self.items(f"{where}/elements", item["elements"], 1000)):
                        if self.kind(f"{where}/elements/{at}", inner, {"rich_text_section"}):
                            self.rich(f"{where}/elements/{at}", inner)
            case "rich_text_preformatted":
                if self.fields(where, item, {"type", "elements"}, {"border", "language"}):
                    self.run(where, item["elements"], {"text", "link"})
            case "rich_text_section" | "rich_text_quote":
                if self.fields(where, item, {"type", "elements"}, {"border"}):
                    kinds = {"text", "link", "date", "emoji", "user", "usergroup", "channel", "broadcast"}
                    self.run(where, item["elements"], kinds)

    def run(self, where: str, elements: Any, allowed: set[str]) -> None:
        for at, item in enumerate(self.items(f"{where}/elements", elements, 1000)):
            here = f"{where}/elements/{at}"
            kind = self.kind(here, item, allowed)
            if kind == "text" and self.fields(here, item, {"type", "text"}, {"style"}):
                self.string(f"{here}/text", item["text"], 40_000)
                for name in sorted(item.get("style", {}).keys() - _STYLES):
                    self.wrong(f"{here}/style/{name}", f"invalid additional property: {name}")
            elif kind == "date" and self.fields(
                here, item, {"type", "timestamp", "format"}, {"url", "fallback", "style"}
            ):
                if not isinstance(item["timestamp"], int):
                    self.wrong(f"{here}/timestamp", "must be an integer")
                self.string(f"{here}/format", item["format"], 3000)

    def unique(self, where: str, name: str, items: list[Any]) -> None:
        seen = set()
        for item in items:
            value = item.get(name) if isinstance(item, dict) else None
            if value is not None and value in seen:
                self.wrong(where, f'`{name}` "{value}" already exists')
            seen.add(value)


def problems(blocks: Any, *, modal: bool = False) -> list[str]:
    check = _Check()
    most = MAX_MODAL_BLOCKS if modal else MAX_MESSAGE_BLOCKS
    if not isinstance(blocks, list):
        return ["[ERROR] must be an array [json-pointer:/blocks]"]
    if len(blocks) > most:
        check.wrong("/blocks", f"no more than {most} items allowed")
    for at, block in enumerate(blocks):
        check.block(f"/blocks/{at}", block, _MODAL_BLOCKS if modal else _MESSAGE_BLOCKS)
    check.unique("/blocks", "block_id", blocks)
    return check.found


def view_problems(view: Any) -> list[str]:
    check = _Check()
    optional = {"submit", "close", "private_metadata", "callback_id", "clear_on_close", "notify_on_close"}
    home = isinstance(view, dict) and view.get("type") == "home"
    needed = {"type", "blocks"} if home else {"type", "title", "blocks"}
    more = {"private_metadata", "callback_id", "external_id"} if home else optional
    if not check.fields("/view", view, needed, more | {"external_id", "submit_disabled"}):
        return check.found
    check.kind("/view", view, {"modal", "home"})
    for name in ("title", "submit", "close"):
        if name in view:
            check.text(f"/view/{name}", view[name], 24, plain=True)
    check.string("/view/private_metadata", view.get("private_metadata", ""), 3000, 0)
    check.string("/view/callback_id", view.get("callback_id", ""), 255, 0)
    if "submit" not in view and any(isinstance(b, dict) and b.get("type") == "input" for b in view["blocks"]):
        check.wrong("/view/submit", "missing required field: submit")
    return [*check.found, *problems(view["blocks"], modal=True)]


def size(blocks: Any) -> int:
    return len(json.dumps(blocks))


def words(item: Any) -> str:
    """Everything that a person reads in blocks, in order; preformatted text and list items on own lines."""
    if isinstance(item, list):
        return "".join(words(inner) for inner in item)
    if not isinstance(item, dict):
        return ""
    if item.get("type") == "user":
        return f"<@{item['user_id']}>"
    if item.get("type") == "date":
        return str(item.get("fallback", ""))
    own = item.get("text", "")
    inner = own if isinstance(own, str) else words(own)
    inner += "".join(words(item[name]) for name in ("fields", "elements", "label", "element") if name in item)
    return inner if item.get("type") in {"text", "plain_text", "mrkdwn"} else f"{inner}\n"
