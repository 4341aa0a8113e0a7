"""Cards as pages, to look at them as Slack's clients draw them: `make pictures`.

Only what the firewall's cards use is drawn, with the widths and sizes of Slack's own clients.
"""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import Any

from firewall.channels.card import card
from firewall.channels.group import several
from tests.channels.conftest import make_hold

CANCEL = """\
UPDATE public.orders AS o
   SET status = 'cancelled', cancelled_at = now()
  FROM public.customers AS c
 WHERE c.id = o.customer_id
   AND c.country = $1
   AND o.placed_at < $2;"""
SQUARES = {"🟩": "#2eb67d", "🟨": "#ecb22e", "🟧": "#e8912d", "🟥": "#e01e5a"}
STYLE = """
h3 i { display: inline-block; width: 15px; height: 15px; border-radius: 2px; vertical-align: -1px }
body { margin: 0; background: #fff; color: #1d1c1d; font: 15px/1.46 Lato, "DejaVu Sans", sans-serif }
.message { display: flex; gap: 8px; padding: 16px 20px; max-width: 720px }
.face { flex: none; width: 36px; height: 36px; border-radius: 8px; background: #1f2933; color: #fff;
  display: grid; place-items: center; font-size: 15px }
.who { font-weight: 900 } .app { font-size: 10px; background: #ddd; padding: 0 3px; border-radius: 2px }
.time { font-size: 12px; color: #616061 } .content { min-width: 0; flex: 1 }
h3 { margin: 6px 0 8px; font-size: 18px; font-weight: 900; line-height: 1.3 } .block { margin: 0 0 8px }
code { font: 12px/1.5 "DejaVu Sans Mono", monospace; color: #c01343; background: #f6f6f6;
  border: 1px solid #e0e0e0; border-radius: 3px; padding: 1px 3px; overflow-wrap: anywhere }
pre { font: 12px/1.5 "DejaVu Sans Mono", monospace; background: #f8f8f8; border: 1px solid #ddd;
  border-radius: 4px; padding: 8px; margin: 4px 0 8px; white-space: pre-wrap; overflow-wrap: anywhere }
ul { margin: 2px 0 8px; padding-left: 24px } .row { display: flex; gap: 8px; margin: 8px 0; flex-wrap: wrap }
button { font: 900 13px/1 inherit; font-family: inherit; padding: 8px 12px; border-radius: 4px;
  border: 1px solid #bbb; background: #fff }
button.primary { background: #007a5a; border-color: #007a5a; color: #fff }
button.danger { background: #e01e5a; border-color: #e01e5a; color: #fff }
"""


def page(blocks: list[dict[str, Any]]) -> str:
    """One message in a channel."""
    head = (
        '<span class="who">query-firewall</span> <span class="app">APP</span> <span class="time">14:31</span>'
    )
    drawn = "".join(map(_block, blocks))
    return (
        f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>card</title><style>{STYLE}</style>"
        f'<div class="message"><div class="face">QF</div>'
        f'<div class="content">{head}{drawn}</div></div>'
    )


def samples() -> dict[str, list[dict[str, Any]]]:
    """The cards that the README shows."""
    hold = make_hold(
        id="h-0CANCEL000",
        digest="9f1c4e7ab2d05837" * 4,
        agent="billing-agent",
        owner="maria@example.com",
        role="billing",
        sql=CANCEL,
        parameters=("DE", "2026-01-01"),
        rule="order changes wait",
        reasons=("orders are money: update public.orders (status, cancelled_at)",),
        effects=("update public.orders (status, cancelled_at)", "read public.customers (id, country)"),
        labels=("pii.country",),
    )
    now = hold.opened_at
    like = [
        make_hold(
            id=f"h-{n}RESET0000",
            digest=f"{n}7d2" * 16,
            agent="support-agent",
            owner="sam@example.com",
            role="support",
            sql="UPDATE users SET locked = false WHERE email = $1",
            parameters=(email,),
            rule="account changes wait",
            reasons=("accounts are people's: update public.users (locked)",),
            effects=("update public.users (locked)",),
            labels=("pii.email",),
            risk="medium",
            expires_at=now + timedelta(minutes=12 + n),
        )
        for n, email in enumerate(("ana@example.org", "li.wei@example.org", "o'hara@example.org"), 1)
    ]
    return {"slack": card(hold, now=now).blocks, "slack-similar": several(like, now=now).blocks}


# of the narrower of today's phones
PHONE = 390


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "header":
            return f"<h3>{_squares(escape(block['text']['text']))}</h3>"
        case "section":
            return f'<div class="block">{escape(block["text"]["text"])}</div>'
        case "actions":
            return f'<div class="row">{"".join(map(_button, block["elements"]))}</div>'
        case _:
            return f'<div class="block">{"".join(map(_rich, block["elements"]))}</div>'


def _squares(text: str) -> str:
    """The risk's coloured square, which Debian's fonts lack."""
    for square, colour in SQUARES.items():
        text = text.replace(square, f'<i style="background: {colour}"></i>')
    return text


def _button(button: dict[str, Any]) -> str:
    return f'<button class="{button.get("style", "")}">{escape(button["text"]["text"])}</button>'


def _rich(element: dict[str, Any]) -> str:
    if element["type"] == "rich_text_list":
        return f"<ul>{''.join(f'<li>{_rich(item)}</li>' for item in element['elements'])}</ul>"
    tag = "pre" if element["type"] == "rich_text_preformatted" else "div"
    return f"<{tag}>{''.join(map(_run, element['elements']))}</{tag}>"


def _run(run: dict[str, Any]) -> str:
    if run["type"] == "date":
        return "Today 2:46:07 PM"
    shown = escape(run["text"])
    style = run.get("style", {})
    if style.get("code"):
        return f"<code>{shown}</code>"
    return f"<b>{shown}</b>" if style.get("bold") else shown
