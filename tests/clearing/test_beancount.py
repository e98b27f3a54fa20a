"""The ledger as a beancount file: `bean-check`, which knows nothing of us, adds up the same and sees differences."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from beancount import loader
from beancount.core.data import Balance

from app.clearing.amounts import ONE, text
from app.clearing.beancount import account_name, currency
from app.clearing.entries import Trade
from app.local.servers import Servers
from app.postgres import Journal, Reader
from tests.clearing.histories import Cleared, History
from tests.clearing.projected import ask, project
from tests.migrated import migrated_database

BEAN_CHECK = Path(sys.executable).with_name("bean-check")
BTC, ETH, CROSS = ("BTC-USD", "BTC", "USD"), ("ETH-USD", "ETH", "USD"), ("ETH-BTC", "ETH", "BTC")


def trade(market: tuple[str, str, str], seq: int, number: int, *terms: object) -> Trade:
    """Price and quantity in 10^-8, buyer, seller, their fees in 10^-16."""
    name, base, quote = market
    return Trade(name, seq, number, base, quote, *terms)  # type: ignore[arg-type]


# Fees and rebates down to 10^-16, a trade with oneself, busts in the trade's cycle and in a later one, open entries.
HISTORY = History(
    [
        trade(BTC, 2, 1, 7_000_012_345_678, 12_345_678, "ann", "bob", 5 * ONE + 1, -ONE // 4 - 3),
        trade(BTC, 3, 2, 7_100_000_000_000, 10_000_000, "bob", "Cy", 0, 1),
        trade(BTC, 3, 3, 7_100_000_000_001, 10_000_001, "d.1", "d.1", 7, -7),
        trade(BTC, 6, 4, 7_100_000_000_000, 30_000_000, "ann", "d.1", 2 * ONE, 0),
        trade(BTC, 9, 5, 6_900_000_000_000, 10_000_000, "Cy", "bob"),
        trade(ETH, 1, 1, 300_000_000_000, 250_000_000, "Cy", "ann", ONE, ONE),
        trade(CROSS, 1, 1, 4_230_000, 100_000_000, "bob", "ann", 0, -12_345),
    ],
    {("BTC-USD", 2): 4, ("BTC-USD", 1): 7, ("ETH-USD", 1): 9},
    [
        ("settle", "a"),
        ("close", 1, {"BTC-USD": 5, "ETH-USD": 5}),
        ("outcome", 1, 1, "failed"),
        ("settle", "b"),
        ("close", 2, {"BTC-USD": 8, "ETH-BTC": 5}),
    ],
)


@pytest.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[str]:
    """A database with the history."""
    async with migrated_database(servers, "clearing_beancount") as url:
        await project(url, HISTORY)
        yield url


async def written(database: str, cycle: int | None = None) -> str:
    """The file as `ledger --beancount` prints it."""
    reader = Reader(database, timeout_s=30.0)
    try:
        journal = Journal(reader)
        closings = await journal.closings(cycle)
        assert closings is not None
        return "".join([part async for part in journal.beancount(closings)])
    finally:
        await reader.close()


def checked(file: Path, content: str) -> str:
    """What bean-check complains of; nothing if it accepts the file."""
    file.write_text(content)
    found = subprocess.run([BEAN_CHECK, "--no-cache", file], capture_output=True, text=True, check=False)
    assert bool(found.returncode) == bool(found.stderr), found
    return found.stderr


async def test_bean_check_accepts_the_ledger_and_its_balances_are_ours(database: str, tmp_path: Path) -> None:
    """Of every client and asset, and of the house, after each cycle."""
    cleared = Cleared(HISTORY)
    for cycle, entries in ((1, 5), (2, 8), (None, 8)):
        content = await written(database, cycle)
        assert checked(tmp_path / "ledger.beancount", content) == ""
        assert content.count("\n  seq: ") == entries
        found, errors, _ = loader.load_string(content)
        assert not errors
        balances = {(e.account, e.amount.currency): e.amount.number for e in found if isinstance(e, Balance)}
        right = {}
        for number in range(1, (cycle or 2) + 1):
            for (client, asset), obligation in cleared.netted[number].obligations.items():
                right[account_name(client), currency(asset)] = Decimal(text(obligation.closing))
        ours = {key: amount for key, amount in balances.items() if key[0].startswith("Assets:Clients:")}
        assert ours == right
        assert {account for account, _ in balances} - {account for account, _ in ours} == {
            "Equity:CentralCounterparty",
            "Income:Fees",
        }


@pytest.mark.parametrize(
    ("pattern", "planted"),
    [
        (r"(  Assets:Clients:C-ann  -5)\.0000000000000001 USD", r"\1 USD"),  # the smallest part of a fee
        (r"(balance Assets:Clients:C-ann  )(-?\d+)(\S*) ~", r"\g<1>9\2\3 ~"),  # an obligation
        (r'0001-01-01 \* "x"|(?s:\d{4}-\d\d-\d\d \* "bust BTC-USD-1".*?(?=\d{4}-))', ""),  # a bust that is missing
        (r"(balance Income:Fees  )(\S+)( ~ 0 USD)", r"\g<1>0\3"),
    ],
)
async def test_a_planted_difference_is_seen(pattern: str, planted: str, database: str, tmp_path: Path) -> None:
    """One leg, one closing, one entry, one fee."""
    content = await written(database)
    changed, count = re.subn(pattern, planted, content, count=1)
    assert count == 1 and changed != content
    assert checked(tmp_path / "ledger.beancount", changed)


async def test_a_trade_changed_in_postgres_no_longer_adds_up(database: str, tmp_path: Path) -> None:
    """The legs are those of the trades, the balances those of the obligations: one cannot change without the other."""
    where = "WHERE trade_id = 'BTC-USD-4'"
    ask(database, f"UPDATE trades SET price = price + 0.01 {where}")
    wrong = checked(tmp_path / "ledger.beancount", await written(database))
    ask(database, f"UPDATE trades SET price = price - 0.01 {where}")
    assert "Balance failed for 'Assets:Clients:C-ann'" in wrong


def test_every_id_has_a_name_of_its_own_that_beancount_allows(tmp_path: Path) -> None:
    """Clients and assets have letters, digits and . _ : - ; beancount wants capitals first and no . _ : in accounts."""
    names = ["a", "A", "a.b", "a-2eb", "a_b", "a:b", "-", "9", "x" * 64, "USD", "usd", "T", "X", "A.B", "9T", "_"]
    accounts, currencies = [account_name(name) for name in names], [currency(name) for name in names]
    assert len(set(accounts)) == len(set(currencies)) == len(names)
    lines = [f"0001-01-01 open {account}" for account in accounts]
    for account, asset in zip(accounts, currencies, strict=True):
        lines.append(f'2026-01-01 * "trade"\n  {account}  1 {asset}\n  {accounts[0]}  -1 {asset}')
    assert checked(tmp_path / "names.beancount", "\n".join([*lines, ""])) == ""
