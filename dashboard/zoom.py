"""What a visitor does with the mouse on a chart: the range that was zoomed to; clicks follow links."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dashboard.router import LINK

# A click on a point becomes a click on a link of ours, which the router follows; with a modifier key, the
# browser. Charts come and go while the page stays: the observer finds new ones.
_WATCH = """
export default function({ data, setTriggerValue }) {
  const charts = new Set();
  let waiting, leaving;
  const zoomed = (event) => {
    const whole = event["xaxis.autorange"] === true;
    const range = event["xaxis.range"] || [event["xaxis.range[0]"], event["xaxis.range[1]"]];
    if (!whole && typeof range[0] !== "number") return;
    clearTimeout(waiting);
    waiting = setTimeout(() => setTriggerValue("range", whole ? [] : range), 150);
  };
  // The first click of a double click leads nowhere.
  const clicked = (event) => {
    clearTimeout(leaving);
    const point = event.points && event.points.find((one) => one.customdata);
    if (point && event.event.detail < 2) leaving = setTimeout(() => leave(point, event.event), 320);
  };
  const doubled = () => clearTimeout(leaving);
  const leave = (point, { ctrlKey, metaKey, shiftKey }) => {
    const link = document.createElement("a");
    link.className = data.link;
    link.setAttribute("href", data.commit + "&sha=" + encodeURIComponent(point.customdata));
    document.body.append(link);
    link.dispatchEvent(
      new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey, metaKey, shiftKey })
    );
    link.remove();
  };
  const find = () => {
    for (const chart of document.querySelectorAll(".js-plotly-plot")) {
      if (charts.has(chart) || !chart.on) continue;
      chart.on("plotly_relayout", zoomed);
      chart.on("plotly_click", clicked);
      chart.on("plotly_doubleclick", doubled);
      charts.add(chart);
    }
  };
  const watcher = new MutationObserver(find);
  watcher.observe(document.body, { childList: true, subtree: true });
  find();
  return () => {
    watcher.disconnect();
    clearTimeout(waiting);
    clearTimeout(leaving);
    for (const chart of charts) {
      if (!chart.removeListener) continue;
      chart.removeListener("plotly_relayout", zoomed);
      chart.removeListener("plotly_click", clicked);
      chart.removeListener("plotly_doubleclick", doubled);
    }
  };
}
"""


@dataclass(frozen=True, slots=True)
class Zoom:
    """A range of the horizontal axis; None is the whole."""

    range: tuple[float, float] | None


def zoomed(commit: str) -> Zoom | None:
    """What was zoomed to just now on a chart of this page, if anything.

    Args:
        commit: address of the commit page, with a parameter; clicks on points whose `customdata` is a sha
            lead there.
    """
    component = st.components.v2.component("perfsuite_zoom", js=_WATCH)
    state = component(
        key="zoom", data={"commit": commit, "link": LINK}, height=0, on_range_change=lambda: None
    )
    found = state.get("range")
    if not isinstance(found, list):
        return None
    ends = [float(end) for end in found if isinstance(end, int | float)]
    return Zoom((min(ends), max(ends)) if len(ends) == 2 else None)
