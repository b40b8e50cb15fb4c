"""The MLP lab in Chromium: trained there, pruned while dragging, seen from inside."""

import re
from collections import Counter

import hostile
import pytest
import torch
from playwright.sync_api import Page, expect
from scipy.stats import binomtest

from browser.shots import settle, shown_exceptions, sideways
from llmrank import mlp

SPEC = mlp.MLPSpec(widths="24,16", epochs=6)
WIDE = {"width": 1440, "height": 1000}
NARROW = {"width": 1024, "height": 768}
LINK = "/mlp_lab?view=mlp.width0.24,mlp.width1.16,mlp.epochs.6,mlp.view."
MADE = """async ([index, percent, names]) => {
    const inside = globalThis.llmrankInside;
    inside.percent = percent;
    inside.example = index;
    inside.frame();
    return names.map((n) => Array.from(inside[n].at(-1)));
}"""


@pytest.fixture(scope="module")
def trained():
    """The same network as the page trains, from the same seed."""
    data = mlp.examples(mlp.DataSpec())
    return data, mlp.train(SPEC, data)


def swept(trained, criterion):
    """Cut the network at every sparsity by the library."""
    data, found = trained
    scores = mlp.score(found.network, data, criterion)
    return mlp.sweep(found.network, scores, data.test_x)


def opened(page: Page, view: str) -> None:
    """Open a view; train the network unless an earlier test has."""
    page.goto(LINK + view)
    settle(page)
    assert shown_exceptions(page) == []
    button = page.get_by_role("button", name="Train it", exact=True)
    if button.count():
        button.click()
    expect(page.get_by_text("of the test set right").first).to_be_visible(
        timeout=60_000
    )
    settle(page)


def test_dragging_shows_what_the_library_measures_without_the_server(new_page, trained):
    """The number is that of the really cut network, at every place on the way."""
    page = new_page(viewport=WIDE)
    opened(page, "prune")
    page.wait_for_function("() => globalThis.llmrankPruning?.sweeps")
    data, _ = trained
    sweep = swept(trained, mlp.MLPRank())
    expected = sweep.accuracies(data.test_y)
    curve = page.locator("canvas.curve")
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 150)
    page.mouse.down()
    for percent in (10, 35, 60):
        x = box["x"] + 40.1 + percent / 100 * (box["width"] - 118)
        page.mouse.move(x, box["y"] + 150, steps=8)
        said = f"→ {100 * expected[percent]:.1f} % right of the 359 test examples"
        expect(page.locator("p.reading")).to_contain_text(said)
        first, second = sweep.widths[percent]
        kept = f"Kept: {first} of 24, {second} of 16 neurons"
        expect(page.locator("p.reading")).to_contain_text(kept)
    news = (sweep.predictions[0] == data.test_y) & (
        sweep.predictions[60] != data.test_y
    )
    expect(page.locator(".newcaption")).to_contain_text(
        f"Newly misclassified: {int(news.sum())}"
    )
    assert not re.search(r"sparsity\.60", page.url)  # not told while dragging
    page.mouse.up()
    page.wait_for_url(re.compile(r"sparsity\.60"))
    counts = page.evaluate("Array.from(globalThis.llmrankPruning.counts)")
    cells = 10 * data.test_y + sweep.predictions[60]
    assert counts == torch.bincount(cells, minlength=100).tolist()


def test_other_criteria_are_told_apart_on_the_same_examples(new_page, trained):
    """By scipy's binomial test; a place alone would say more than is known."""
    page = new_page(viewport=WIDE)
    opened(page, "prune,mlp.sparsity.60")
    page.wait_for_function("() => globalThis.llmrankPruning?.sweeps")
    data, _ = trained
    sweep = swept(trained, mlp.MLPRank())
    names = page.evaluate("globalThis.llmrankPruning.sweeps.criteria")
    own = sweep.predictions[60] == data.test_y
    told = Counter()
    for name in set(names) - {"mlp-rank"}:
        other = swept(trained, mlp.criterion(name)).predictions[60]
        right = other == data.test_y
        won, lost = int((own & ~right).sum()), int((~own & right).sum())
        sure = won + lost and binomtest(won, won + lost).pvalue < 0.05
        told[("worse" if won > lost else "better") if sure else "same"] += 1
    expect(page.locator("p.reading")).to_contain_text(
        f"of {len(names) - 1} other criteria {told['better']} better, "
        f"{told['worse']} worse, {told['same']} not told apart"
    )


def test_another_criterion_is_another_network_and_the_link_opens_it(new_page, trained):
    page = new_page(viewport=WIDE)
    opened(page, "prune,mlp.sparsity.60")
    data, _ = trained
    page.get_by_role("radio", name="l1", exact=True).click()
    by_l1 = swept(trained, mlp.criterion("l1"))
    said = f"→ {100 * by_l1.accuracies(data.test_y)[60]:.1f} % right"
    expect(page.locator("p.reading")).to_contain_text(said)
    page.wait_for_url(re.compile(r"criterion\.l1"))
    settle(page)
    page.reload()
    settle(page)
    expect(page.locator("p.reading")).to_contain_text(said)


def test_the_network_run_in_the_browser_is_torchs(new_page, trained):
    page = new_page(viewport=NARROW)
    opened(page, "inside")
    page.wait_for_function("() => globalThis.llmrankInside?.values")
    assert sideways(page) == []
    data, found = trained
    scores = mlp.score(found.network, data, mlp.MLPRank())
    for percent in (0, 50, 99):
        small = mlp.prune(found.network, mlp.planned(scores, percent / 100))
        made = page.evaluate(MADE, [7, percent, ["values", "dense"]])
        assert made[0] == pytest.approx(
            mlp.logits(small, data.test_x[7:8])[0].tolist(), abs=0.05
        )
        dense = mlp.logits(found.network, data.test_x[7:8])[0].tolist()
        assert made[1] == pytest.approx(dense, abs=0.05)  # pixels are bytes there
    # The strongest ranks first; the arrows go along the ranking.
    first = int(scores.layers[0].argmax())
    second = int(scores.layers[0].argsort(descending=True)[1])
    card = page.locator(".card h4")
    expect(card).to_have_text(f"Layer 1, neuron {first}")
    page.locator("canvas.graph").press("ArrowRight")
    expect(card).to_have_text(f"Layer 1, neuron {second}")
    expect(page.locator(".card")).to_contain_text("Rank 2 of 24 by mlp-rank")
    expect(page.locator(".tops canvas")).to_have_count(8)


def test_the_first_visit_looks_inside_and_sees_the_cut_wherever_it_lies(new_page):
    """Of the neurons that are drawn as many are crossed as of all of them."""
    page = new_page(viewport=NARROW)
    page.goto("/mlp_lab?view=mlp.view.inside,mlp.sparsity.70")
    page.wait_for_function("() => globalThis.llmrankInside?.values", timeout=60_000)
    crossed = """(percent) => {
        const inside = globalThis.llmrankInside;
        if (percent !== null) inside.move(percent);
        inside.frame();
        return [1, 2].map((layer) => {
            const drawn = inside.nodes.filter((node) => node.layer === layer);
            return (100 * drawn.filter((node) => node.gone).length) / drawn.length;
        });
    }"""
    assert page.evaluate(crossed, None) == pytest.approx([70, 70], abs=4)
    told = page.locator("p.key")
    expect(told).to_contain_text("Drawn: 40 of 128 and 40 of 64 neurons")
    starts = "llmrankInside.nodes.filter((n) => n.layer === 0).map((n) => n.y)"
    box = page.evaluate("llmrankInside.box")
    assert min(page.evaluate(starts)) > box["top"] + 8 * box["scale"]  # off the digit
    for percent in (5, 30, 50, 95):
        found = page.evaluate(crossed, percent)
        assert found == pytest.approx([percent, percent], abs=4)


def test_the_other_views_answer_their_button(new_page):
    page = new_page(viewport=NARROW)
    opened(page, "after,mlp.again.2")
    for title, button, said in (
        ("After the cut", "Train it three ways", "one training each"),
        ("Robustness", "Shake them", "corruption costs"),
    ):
        page.get_by_role("radio", name=title).click()
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_text(re.compile(said)).first).to_be_visible(timeout=60_000)
        settle(page)
        assert sideways(page) == []


def test_a_training_left_alone_goes_on_and_stop_ends_another(new_page):
    page = new_page(viewport=NARROW)
    page.goto("/mlp_lab?view=mlp.epochs.200,mlp.width0.512,mlp.width1.512")
    settle(page)
    page.get_by_role("button", name="Train it", exact=True).click()
    expect(page.get_by_text(re.compile(r"Loss .* after \d+ epoch"))).to_be_visible(
        timeout=60_000
    )
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("heading", name="What did I measure")).to_be_visible()
    page.get_by_role("link", name="MLP lab").click()
    page.get_by_role("button", name="Stop").first.click()
    expect(page.get_by_text("was stopped after").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Train it", exact=True)).to_be_enabled()


def test_an_upload_is_one_sentence_or_one_line(new_page):
    """Neither a traceback nor a folder of the server is shown, whatever is uploaded."""
    page = new_page(viewport=NARROW)
    page.goto("/mlp_lab?view=mlp.data.own%20file")
    settle(page)
    page.get_by_role("button", name="Data").click()
    data = page.get_by_test_id("stPopoverBody")
    field = data.locator("input[type=file]").first
    for name in ("underscore.csv", "many.csv", "vast.npz", "encrypted.npz"):
        content, said = hostile.SMALL[name]
        field.set_input_files({"name": name, "mimeType": "", "buffer": content})
        alert = data.get_by_test_id("stAlert")
        expect(alert).to_contain_text(re.compile(said))
        assert "Traceback" not in page.content()
        assert not re.search(r"/(home|root|tmp|work)/", alert.inner_text())
    good = hostile.TABLE.replace("a,b", "Unnamed: 0,b", 1).encode()
    field.set_input_files({"name": "good.csv", "mimeType": "", "buffer": good})
    read = (
        "60 rows × 1 feature, 2 classes in `label`; left out: `Unnamed: 0` (an index)"
    )
    expect(page.get_by_text(read)).to_be_visible()
    expect(data.get_by_test_id("stAlert")).to_have_count(0)
    settle(page)
    assert sideways(page) == []
