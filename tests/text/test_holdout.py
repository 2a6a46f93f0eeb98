"""The held-out split: by source, by hash, every domain on both sides."""

from hypothesis import given
from hypothesis import strategies as st

from monoseme.text.holdout import Holdout

names = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["stories", "docs"])), min_size=1, max_size=60)


@given(corpus=names, cut=st.integers(0, 60), seed=st.integers(0, 5), fraction=st.sampled_from([0.05, 0.3, 0.9]))
def test_a_source_stays_on_its_side_and_domains_have_two(
    corpus: list[tuple[int, str]], cut: int, seed: int, fraction: float
) -> None:
    sources = [f"{domain}/{i}" for i, domain in corpus]
    domains = [domain for _, domain in corpus]
    split = Holdout(fraction=fraction, seed=seed)
    sides = [*split.assign(sources[:cut], domains[:cut]), *split.assign(sources[cut:], domains[cut:])]
    side_of: dict[str, bool] = {}
    for source, side in zip(sources, sides, strict=True):
        assert side_of.setdefault(source, side) == side
    for domain in set(domains):
        sides_here = {side for source, side in side_of.items() if source.startswith(domain)}
        n_sources = sum(source.startswith(domain) for source in side_of)
        assert sides_here == ({False, True} if n_sources > 1 else {False})


def test_the_share_is_about_the_fraction() -> None:
    sides = Holdout(fraction=0.1, seed=0).assign([f"row {i}" for i in range(10_000)], ["x"] * 10_000)
    # 4 standard deviations of a binomial with n = 10,000, p = 0.1 are 120.
    assert 880 < sum(sides) < 1120


def test_nothing_is_held_out_at_fraction_zero() -> None:
    assert not any(Holdout(fraction=0.0, seed=0).assign(["a", "b", "c"], ["x"] * 3))


def test_the_split_depends_on_the_seed_and_not_on_order() -> None:
    sources = [f"row {i}" for i in range(200)]
    base = dict(zip(sources, Holdout(fraction=0.3, seed=0).assign(sources, ["x"] * 200), strict=True))
    backwards = Holdout(fraction=0.3, seed=0).assign(sources[::-1], ["x"] * 200)
    other = Holdout(fraction=0.3, seed=1).assign(sources, ["x"] * 200)
    assert list(base.values()) == backwards[::-1]
    assert list(base.values()) != other
