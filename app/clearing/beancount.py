"""The ledger as a beancount file: every leg of every entry, and the closings that they must add up to.

Beancount adds up the legs on its own, and compares each account with its closing.
"""

from collections.abc import Iterator, Mapping

from app.clearing.amounts import text
from app.clearing.entries import CCP, FEES, Bust, Entry, legs
from app.clearing.netting import Holding

HEADER = 'option "title" "Matchstream"\noption "tolerance_multiplier" "0"\n'
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"
"""Accounts are open from the first day; beancount checks closings at the beginning of the last one."""
HOUSE = {CCP: "Equity:CentralCounterparty", FEES: "Income:Fees"}
_CURRENCY_BEGINS, _CURRENCY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def account_name(account: str) -> str:
    """The account in beancount's spelling: what it does not allow in a client's id is written as - and two digits."""
    house = HOUSE.get(account)
    if house is not None:
        return house
    return "Assets:Clients:C-" + "".join(c if c.isalnum() else f"-{ord(c):02x}" for c in account)


def currency(asset: str) -> str:
    """The asset in beancount's spelling: X' and hexadecimal digits, unless it has only capitals and digits."""
    if asset[0] in _CURRENCY_BEGINS and _CURRENCY.issuperset(asset):
        return asset
    return f"X'{asset.encode().hex().upper()}"


class Beancount:
    """Writes the parts of a file in order: `begin`, each `entry`, `end`."""

    def __init__(self) -> None:
        self._opened: set[str] = set()

    def begin(self) -> str:
        """The first lines of the file."""
        return HEADER

    def entry(self, entry: Entry, trade_id: str, time: str) -> str:
        """A trade or a bust as a transaction. `time` is RFC 3339."""
        kind = "bust" if isinstance(entry, Bust) else "trade"
        postings = [(account_name(leg.account), text(leg.amount), currency(leg.asset)) for leg in legs(entry)]
        lines = [line for name, _, _ in postings for line in self._opening(name)]
        lines += [f'{time[:10]} * "{kind} {trade_id}"', f"  seq: {entry.seq}", f'  time: "{time}"']
        lines += [f"  {name}  {amount} {asset}" for name, amount, asset in postings]
        return "\n".join(lines) + "\n"

    def end(self, closings: Mapping[Holding, int], fees: Mapping[str, int]) -> str:
        """What each account must have: clients by holding, the house's fees by asset, its counterparty nothing."""
        balances = [(account, asset, amount) for (account, asset), amount in sorted(closings.items())]
        for asset, amount in sorted(fees.items()):
            balances += [(CCP, asset, 0), (FEES, asset, amount)]
        return "".join(self._balance(*balance) for balance in balances)

    def _balance(self, account: str, asset: str, amount: int) -> str:
        name = account_name(account)
        lines = [*self._opening(name), f"{LAST_DAY} balance {name}  {text(amount)} ~ 0 {currency(asset)}"]
        return "\n".join(lines) + "\n"

    def _opening(self, name: str) -> Iterator[str]:
        if name not in self._opened:
            self._opened.add(name)
            yield f"{FIRST_DAY} open {name}"
