// Measures inside the page: from a click, or from the start of a navigation, until what was asked for is painted.
(() => {
  const seen = (selector) => {
    const found = [...document.querySelectorAll(selector)];
    return found.some((one) => one.getBoundingClientRect().height > 0);
  };
  // A chart stands when Plotly has drawn the traces that it was given.
  const drawn = (chart) =>
    chart._fullLayout && chart.querySelector(".main-svg") && chart.calcdata &&
    chart.calcdata.length === chart._fullData.filter((one) => one.visible === true).length &&
    chart.calcdata.length > 0;
  const charts = (name) => [...document.querySelectorAll(".js-plotly-plot")].filter(
    (one) => drawn(one) && (!name || one.data.some((trace) => trace.name === name)));
  // What is still missing of an end, in words; empty when it is all there.
  const missing = (end) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const main = document.querySelector('[data-testid="stMain"]');
    if (!app || !main) return "the application";
    const state = app.getAttribute("data-test-script-state");
    if (state !== "notRunning") return `the script's end (it is ${state})`;
    const absent = end.selectors.find((selector) => !seen(selector));
    if (absent) return absent;
    if (charts(end.trace).length < end.charts) return `${end.charts} charts`;
    if (main.querySelector('[data-stale="true"]')) return "the end of the page before";
    return end.words.find((words) => !main.textContent.includes(words)) ?? "";
  };
  // Two frames later: the first is asked for before what was just put up is painted.
  const until = (end, limit, changed) => new Promise((resolve) => {
    let over = false, watcher;
    const finish = (lacks) => { over = true; watcher.disconnect(); clearTimeout(late); resolve(lacks); };
    const late = setTimeout(() => finish(missing(end) || "a change"), limit);
    const look = () => {
      if (over || !changed || missing(end)) return;
      watcher.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => {
        if (over) return;
        if (!missing(end)) return finish("");
        watch();
      }));
    };
    const watch = () => {
      watcher.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      look();
    };
    watcher = new MutationObserver(() => {
      changed = true;
      look();
    });
    watch();
  });
  // Milliseconds since `start` when it is painted, or what was missing at the limit.
  const measured = async (start, end, limit, changed) => {
    const lacks = await until(end, limit, changed);
    return lacks || performance.now() - start;
  };
  window.perfsuiteProbe = {
    // Since the navigation to this document began.
    loaded: (end, limit) => measured(0, end, limit, true),
    // Since a click on a link, one of the page's where it has it.
    followed: (address, end, limit) => {
      const whole = new URL(address, document.baseURI).href;
      let link = [...document.querySelectorAll("a.ps")].find((one) => one.href === whole);
      const own = !link;
      if (own) {
        link = document.createElement("a");
        link.className = "ps";
        link.href = whole;
        document.body.append(link);
      }
      const start = performance.now();
      link.click();
      if (own) link.remove();
      return measured(start, end, limit, false);
    },
  };
})();
