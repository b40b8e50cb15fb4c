"""Runs and Prune: a point that is clicked leads on."""

from playwright.sync_api import expect

from browser.shots import settle


def click_point(page, trace, point):
    """Click the point of a trace, counted from the last one drawn."""
    points = page.locator(".js-plotly-plot .scatterlayer .trace").nth(trace)
    box = points.locator(".point").nth(point).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    settle(page)


def test_a_run_that_is_clicked_is_held_and_leads_on(page):
    page.goto("/runs?sparsity=0.3")
    settle(page, timeout_s=120)
    expect(page.get_by_text("llm-rank, 30 % removed")).to_be_visible()
    click_point(page, -2, 0)  # the best method's; the last trace is the ring
    expect(page.get_by_text("llm-rank, 30 % removed")).to_have_count(0)
    expect(page.get_by_text("least-squares-sequential, 50 % removed")).to_be_visible()
    page.get_by_text("Open in Explore").click()
    page.wait_for_url("**/explore?**sparsity=0.5**")
    settle(page, timeout_s=120)


def test_an_option_that_is_clicked_is_taken_in_hand(page):
    page.goto("/prune?sparsity=0.3")
    settle(page, timeout_s=120)
    expect(page.get_by_text("In hand: 30 % removed by llm-rank")).to_be_visible()
    click_point(page, 0, 0)  # the one that costs least is on top
    taken = page.get_by_text("In hand: 30 % removed by wanda + additive")
    expect(taken).to_be_visible()
    assert "criterion=wanda" in page.url
