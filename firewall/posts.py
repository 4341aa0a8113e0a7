"""The channels that the settings ask for, and who people are to them by the policies in force."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from firewall import config
from firewall.channels.slack import SlackChannel, SlackSettings
from firewall.channels.webhooks import Webhook, Webhooks
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from firewall.approval import Hold
    from firewall.channels import Channel
    from firewall.desk import Desk
    from firewall.gate import Gate
    from firewall.policy import Policy
    from firewall.store import Store


class Accounts:
    """People's accounts elsewhere, asked anew each time: policies change while channels are open."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self._gates = gates

    def by_slack(self, team: str, user: str) -> str | None:
        return _one(each.by_slack(team, user) for each in self._policies())

    def by_teams(self, tenant: str, user: str) -> str | None:
        return _one(each.by_teams(tenant, user) for each in self._policies())

    def in_slack(self, hold: Hold, groups: Sequence[str]) -> Sequence[str]:
        """The Slack ids of those in these groups whose word on this hold counts."""
        gate = self._gates.get(hold.database)
        found = gate.policy.accounts(groups, "slack") if gate else []
        asked = {name.casefold() for name in hold.requesters}
        return [user for name, accounts in found if name.casefold() not in asked for _, user in accounts]

    def in_teams(self, hold: Hold, groups: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Names and ids in Entra of the same."""
        gate = self._gates.get(hold.database)
        found = gate.policy.accounts(groups, "teams") if gate else []
        asked = {name.casefold() for name in hold.requesters}
        return [(name, user) for name, of in found if name.casefold() not in asked for _, user in of]

    def _policies(self) -> Iterator[Policy]:
        return (gate.policy for gate in self._gates.values())


def open_channels(
    settings: config.Settings, desk: Desk, store: Store, gates: Mapping[str, Gate]
) -> Iterator[Channel]:
    """Not started yet. Raises FirewallError for what is missing in the environment."""
    accounts = Accounts(gates)
    if settings.slack is not None:
        yield SlackChannel(
            _slack(settings.slack),
            desk,
            accounts.by_slack,
            store.cards,
            members=accounts.in_slack,
            origin=settings.origin,
        )
    if settings.teams is not None:
        yield _teams(settings, desk, store, accounts)
    for name, written in settings.webhooks.items():
        webhook = Webhook(
            name,
            written.url,
            _secret(name, written),
            frozenset(written.events),
            statements=written.statements,
        )
        events = partial(store.held, settings.origin)
        yield Webhooks(webhook, desk, events, store.cards, settings.origin)


def _teams(settings: config.Settings, desk: Desk, store: Store, accounts: Accounts) -> Channel:
    written = settings.teams
    assert written is not None
    try:
        # an extra of its own, whose modules take half a second to load
        from firewall.channels.teams import TeamsChannel, TeamsSettings  # noqa: PLC0415
    except ImportError:
        raise FirewallError(
            "the settings name a Teams channel, and Microsoft's SDK is not installed",
            hint='install it: pip install "query-firewall[teams]"',
        ) from None
    secret = os.environ.get("TEAMS_CLIENT_SECRET", "")
    if not secret:
        raise FirewallError(
            "the settings name a Teams channel, and the environment has no `TEAMS_CLIENT_SECRET`",
            hint="README.md, `Connect Teams`, says where to make one",
        )
    return TeamsChannel(
        TeamsSettings(
            client_id=written.client_id,
            client_secret=secret,
            tenant=written.tenant,
            conversation=written.conversation,
            host=written.host,
            port=written.port,
            service_url=written.service_url,
            url=settings.web.url.rstrip("/"),
        ),
        desk,
        accounts.by_teams,
        store.cards,
        members=accounts.in_teams,
        origin=settings.origin,
    )


def _secret(name: str, webhook: config.Webhook) -> str:
    found = os.environ.get(webhook.secret_env, "")
    if not found:
        raise FirewallError(
            f"the settings name webhook `{name}`, and the environment has no `{webhook.secret_env}`",
            hint="put there what the receiver checks signatures with",
        )
    return found


def _slack(written: config.Slack) -> SlackSettings:
    secrets = config.SlackTokens()
    needed = {"SLACK_BOT_TOKEN": secrets.bot_token}
    if written.http:
        needed["SLACK_SIGNING_SECRET"] = secrets.signing_secret
    else:
        needed["SLACK_APP_TOKEN"] = secrets.app_token
    found = {}
    for name, value in needed.items():
        if value is None or not value.get_secret_value():
            raise FirewallError(
                f"the settings name a Slack channel, and the environment has no `{name}`",
                hint="README.md, `Connect Slack`, says where to find it",
            )
        found[name] = value.get_secret_value()
    http = written.http or config.SlackHttp()
    return SlackSettings(
        bot_token=found["SLACK_BOT_TOKEN"],
        app_token=found.get("SLACK_APP_TOKEN", ""),
        signing_secret=found.get("SLACK_SIGNING_SECRET", ""),
        channel=written.channel,
        api_url=secrets.api_url,
        host=http.host,
        port=http.port,
    )


def _one(names: Iterator[str | None]) -> str | None:
    """Two policies that disagree about an account identify nobody."""
    found = {name for name in names if name}
    return found.pop() if len(found) == 1 else None
