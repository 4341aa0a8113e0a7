"""`firewall init`: a settings file and a policy to begin with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firewall import config, resources
from firewall.cli.command import command
from firewall.cli.exits import Usage

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal

app = typer.Typer()

SETTINGS = Path(__file__).with_name("settings.yaml")
# the schema is for editors
POLICIES = ("production.yaml", "production.cases.yaml", "policy.schema.json")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="where to; made if it is not there")]


@command(app, "init")
def init(terminal: Terminal, folder: Folder = Path()) -> None:
    """Write firewall.yaml and policies/production.yaml to begin with. What is there already stays."""
    sources = {Path("firewall.yaml"): SETTINGS}
    sources |= {Path("policies", name): resources.policies() / name for name in POLICIES}
    written = {str(target): _write(source, folder / target) for target, source in sources.items()}
    # what is told to be ready must be: also what was there before
    settings = config.load(folder / "firewall.yaml")
    if terminal.as_json:
        terminal.document({"folder": str(folder.resolve()), "written": written})
        return
    for target, new in written.items():
        terminal.say(f"{'wrote' if new else 'kept '} {folder / target}")
    _next_steps(terminal, settings, folder)


def _write(source: Path, target: Path) -> bool:
    """False if there is something already."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # exclusive: two who write at once overwrite nothing either
        with source.open("rb") as original, target.open("xb") as copy:
            shutil.copyfileobj(original, copy)
    except FileExistsError:
        if target.is_file():
            return False
        raise Usage(f"`{target}` is in the way", hint="name another folder") from None
    except OSError as error:
        raise Usage(f"`{target}` cannot be written ({error.strerror})", hint="name another folder") from None
    return True


def _next_steps(terminal: Terminal, settings: config.Settings, folder: Path) -> None:
    steps = [
        "in policies/production.yaml put your own people under `approvers`, then `firewall policy check`",
        "in firewall.yaml say where your database is",
    ]
    secrets = [database.password_env for database in settings.databases.values() if database.password_env]
    if secrets:
        steps.append(f"set {', '.join(dict.fromkeys(secrets))} to the password of its login")
    steps += [
        "firewall agents add NAME --owner PERSON   makes an agent and shows its DSN",
        "firewall people token PERSON              makes a token for somebody who decides",
        "firewall serve                            runs it",
    ]
    if folder.resolve() != Path.cwd():
        steps.insert(0, f"cd {folder}")
    terminal.say("next:")
    for number, step in enumerate(steps, 1):
        terminal.say(f"  {number}. {step}")
