"""Clearing agrees with the naive ledger, and keeps the invariants of docs/CLEARING.md, on random histories."""

from collections import Counter, defaultdict
from fractions import Fraction

from hypothesis import HealthCheck, given, settings

from app.clearing.amounts import ONE, amount_of, text
from app.clearing.entries import FEES, Bust, Trade, legs
from app.clearing.statements import MOVEMENTS
from tests.clearing.histories import Cleared, History, histories, naive

thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(histories())
def test_both_ledgers_agree(history: History) -> None:
    """Obligations, instructions, outcomes, statements and seals, which cover all of it."""
    cleared, right = Cleared(history), naive(history)
    assert len(cleared.closed) == len(right.vectors)
    for cycle, netted in cleared.netted.items():
        obligations = right.obligations[cycle - 1]
        assert netted.obligations.keys() == obligations.keys()
        for holding, found in netted.obligations.items():
            for name in (*MOVEMENTS, "opening"):
                assert Fraction(getattr(found, name), ONE) == obligations[holding][name], (holding, name)
        for number, instruction in enumerate(right.instructions[cycle - 1], 1):
            assert text(netted.instructions[number].amount) == text(int(instruction["amount"] * ONE))
            assert cleared.ledger.decisions.get((cycle, number), "pending") == instruction["state"]
        assert cleared.ledger.is_settled(cycle) == (right.state(cycle) == "settled")
        for client in {client for client, _ in obligations}:
            assert list(cleared.statement(client, cycle).lines()) == right.statement(client, cycle)
        assert cleared.ledger.seals[cycle] == right.seals[cycle - 1]


@thorough
@given(histories())
def test_the_legs_of_each_entry_and_each_cycle_add_up_to_nothing(history: History) -> None:
    """C1, with each account within its bounds: a sum that has wrapped would still add up."""
    for entry in history.entries():
        sums: Counter[str] = Counter()
        for leg in legs(entry):
            sums[leg.asset] += leg.amount
        assert not any(sums.values())
    cleared = Cleared(history)
    for cycle, netted in cleared.netted.items():
        totals: dict[str, int] = defaultdict(int)
        for (_, asset), found in netted.obligations.items():
            totals[asset] += found.net - found.carried + found.fees
            assert found.gross_in >= 0 and found.gross_out >= 0
            moved = found.net - found.carried
            assert -found.gross_out - found.fees <= moved <= found.gross_in - found.fees
        assert not any(totals.values()), cycle


@thorough
@given(histories())
def test_every_entry_below_a_cutoff_is_in_exactly_one_cycle(history: History) -> None:
    """C2: ranges are contiguous and disjoint, whatever cutoffs and repeated facts came."""
    cleared = Cleared(history)
    ends: dict[str, int] = defaultdict(int)
    for closed in cleared.closed.values():
        for instrument, (after, to) in closed.ranges.items():
            assert after == ends[instrument] < to
            ends[instrument] = to
    assert ends == {name: to for name, to in cleared.cycles.cutoffs.items() if to}
    owned = Counter(e for cycle in cleared.closed for e in cleared.entries_of(cycle))
    assert owned == Counter(e for e in history.entries() if e.seq <= ends[e.instrument])


@thorough
@given(histories())
def test_net_is_the_sum_of_what_was_traded_at_its_own_prices(history: History) -> None:
    """C3, C5 and C6 over all cycles: a busted trade leaves nothing behind, its fees included; C7 on the way."""
    cleared = Cleared(history)
    ends = cleared.cycles.cutoffs
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for trade in history.trades:
        bust = history.bust_of(trade)
        if trade.seq <= ends.get(trade.instrument, 0) and not (bust and bust <= ends[trade.instrument]):
            for leg in legs(trade):
                expected[leg.account, leg.asset] += leg.amount
    closings: dict[tuple[str, str], int] = defaultdict(int)
    fees: dict[str, int] = defaultdict(int)
    for netted in cleared.netted.values():
        for holding, found in netted.obligations.items():
            assert found.opening == closings[holding]
            closings[holding] = found.closing
            fees[holding[1]] += found.fees
    for (account, asset), amount in expected.items():
        assert (fees[asset] if account == FEES else closings[account, asset] if account[0] != "@" else 0) == amount


def _round_trip(buy_price: int, sell_price: int) -> dict[tuple[str, str], int]:
    history = History(
        trades=[
            Trade("BTC-USD", 1, 1, "BTC", "USD", buy_price, 5, "ann", "bob"),
            Trade("BTC-USD", 2, 2, "BTC", "USD", sell_price, 5, "bob", "ann"),
        ],
        facts=[("settle", "a"), ("close", 1, {"BTC-USD": 2})],
    )
    return {holding: found.net for holding, found in Cleared(history).netted[1].obligations.items()}


def test_a_client_whose_quantity_is_zero_keeps_its_cash() -> None:
    """C3: bought at 100 and sold at 103, each at its own price and not at the last one."""
    nets = _round_trip(100, 103)
    assert nets["ann", "BTC"] == nets["bob", "BTC"] == 0
    assert (nets["ann", "USD"], nets["bob", "USD"]) == (15, -15)


def test_an_empty_cycle_settles() -> None:
    """Nothing was traded: no obligation, no instruction, and a seal like any other."""
    cleared = Cleared(History(facts=[("settle", "a"), ("close", 1, {})]))
    assert cleared.ledger.is_settled(1) and len(cleared.ledger.seals[1]) == 64


def test_the_first_close_of_a_cycle_decides() -> None:
    """A second agent, or one that was paused, cannot change what a cycle owns."""
    facts = [("settle", "a"), ("close", 1, {"BTC-USD": 3}), ("close", 1, {"BTC-USD": 9})]
    cleared = Cleared(History(facts=[*facts, ("close", 2, {"BTC-USD": 9})]))
    assert {cycle: closed.ranges for cycle, closed in cleared.closed.items()} == {1: {"BTC-USD": (0, 3)}}


def test_a_failed_instruction_is_carried_once_into_the_next_cycle() -> None:
    """As after a failed delivery: it is due again, and only once."""
    trade = Trade("BTC-USD", 1, 1, "BTC", "USD", 100, 5, "ann", "bob")
    facts = [("settle", "a"), ("close", 1, {"BTC-USD": 1}), ("outcome", 1, None, "failed")]
    facts += [("settle", "b"), ("close", 2, {}), ("outcome", 2, None, "settled"), ("settle", "c"), ("close", 3, {})]
    cleared = Cleared(History([trade], facts=facts))
    assert cleared.netted[2].obligations["ann", "USD"].carried == -500
    assert cleared.netted[2].instructions == cleared.netted[1].instructions
    assert cleared.netted[2].obligations["ann", "USD"].closing == cleared.netted[1].obligations["ann", "USD"].closing
    assert cleared.netted[3].obligations == {}


def test_a_late_bust_is_a_reversal_and_an_early_one_cancels() -> None:
    """C6: in its own cycle a bust leaves no gross amounts, in a later one opposite ones with the fees returned."""
    trade = Trade("BTC-USD", 1, 1, "BTC", "USD", 100, 5, "ann", "bob", 7, -2)
    both = Cleared(History([trade], {("BTC-USD", 1): 2}, [("settle", "a"), ("close", 1, {"BTC-USD": 2})]))
    assert both.netted[1].obligations == {}
    facts = [("settle", "a"), ("close", 1, {"BTC-USD": 1}), ("settle", "b"), ("close", 2, {"BTC-USD": 2})]
    later = Cleared(History([trade], {("BTC-USD", 1): 2}, facts))
    first, second = (later.netted[cycle].obligations["bob", "USD"] for cycle in (1, 2))
    assert (first.gross_in, first.fees, second.gross_out, second.fees) == (500, -2, 500, 2)
    assert second.closing == 0
    assert isinstance(later.entries_of(2)[0], Bust)


def test_a_changed_cycle_changes_every_seal_after_it() -> None:
    """C8: whoever knows the last seal notices."""
    facts = [("settle", "a"), ("close", 1, {"BTC-USD": 1}), ("settle", "b"), ("close", 2, {"BTC-USD": 2})]

    def seals(price: int) -> dict[int, str]:
        trades = [Trade("BTC-USD", n, n, "BTC", "USD", p, 5, "ann", "bob") for n, p in ((1, price), (2, 100))]
        return Cleared(History(trades, facts=facts)).ledger.seals

    assert seals(100) == seals(100)
    assert all(seals(100)[cycle] != seals(101)[cycle] for cycle in (1, 2))


def test_a_statement_has_the_same_bytes_each_time() -> None:
    """Clients compare them; JSON has the rows of the CSV."""
    trade = Trade("BTC-USD", 4, 1, "BTC", "USD", 7_000_000_000_000, 20_000_000, "ann", "bob", 140 * ONE // 100, 0)
    cleared = Cleared(History([trade], facts=[("settle", "a"), ("close", 1, {"BTC-USD": 4})]))
    statement = cleared.statement("ann", 1)
    assert statement.csv() == (
        "row,seq,trade_id,instrument,side,price,quantity,fee,time,asset,amount\n"
        "opening,,,,,,,,,BTC,0\n"
        "opening,,,,,,,,,USD,0\n"
        "trade,4,BTC-USD-1,BTC-USD,buy,70000,0.2,1.4,1970-01-01T00:00:00.004Z,,\n"
        "gross_in,,,,,,,,,BTC,0.2\ngross_out,,,,,,,,,BTC,0\nfees,,,,,,,,,BTC,0\ncarried,,,,,,,,,BTC,0\n"
        "net,,,,,,,,,BTC,0.2\nclosing,,,,,,,,,BTC,0.2\n"
        "gross_in,,,,,,,,,USD,0\ngross_out,,,,,,,,,USD,14000\nfees,,,,,,,,,USD,1.4\ncarried,,,,,,,,,USD,0\n"
        "net,,,,,,,,,USD,-14001.4\nclosing,,,,,,,,,USD,-14001.4\n"
    )
    assert statement.json() == statement.json() and '{"row":"opening","asset":"BTC","amount":"0"}' in statement.json()


def test_amounts_are_read_and_written_exactly() -> None:
    """The largest notional there can be, the smallest amount, and what is refused."""
    largest = (10**20 - 1) ** 2
    for amount in (0, 1, -1, ONE, largest, -largest, 10 * ONE + 5):
        assert amount_of(text(amount)) == amount
    assert (text(1), text(-ONE // 2)) == ("0.0000000000000001", "-0.5")
    for wrong in ("", "1e3", ".5", "1.", "+1", "0.00000000000000001", "1_0", "٣"):
        try:
            amount_of(wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)
