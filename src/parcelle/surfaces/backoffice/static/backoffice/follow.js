// While a page shows something unfinished, its content is fetched again every two seconds.
(() => {
  const content = () => document.getElementById("content-main");
  const folds = (root) => root.querySelectorAll("details");
  async function look() {
    if (document.hidden) return true;
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("content-main");
    if (!answer.ok || !fresh) return false;
    // At the end the whole page again: what can be done now is offered above the content.
    if (!fresh.querySelector("[data-follow]")) return location.reload();
    const open = [...folds(content())].map((fold) => fold.open);
    folds(fresh).forEach((fold, number) => { fold.open = open[number] ?? false; });
    content().replaceWith(document.importNode(fresh, true));
    return true;
  }
  (function wait() {
    setTimeout(async () => {
      // A server that restarts is asked again.
      if (await look().catch(() => true)) wait();
    }, 2000);
  })();
})();
