"use strict";
(() => {
  const PAGE = 24;
  const find = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const data = JSON.parse(find("viewer-data").textContent);
  const say = (text) => { find("status").textContent = text; };

  // Tables: a heading sorts its column; empty cells stay at the end.
  const number = (text) => {
    const match = /^[-−+]?[\d.,]+(?:e[-+]?\d+)?/i.exec(text);
    return match ? Number(match[0].replace("−", "-").replaceAll(",", "")) : NaN;
  };
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const text = (cell.dataset.sort ?? cell.textContent).trim();
    return { text, number: number(text) };
  };
  const compare = (a, b, sign) => {
    if (!a.text || !b.text) return Number(!a.text) - Number(!b.text);
    const numbers = [a, b].map((key) => Number.isNaN(key.number));
    if (!numbers[0] && !numbers[1]) return sign * (a.number - b.number);
    if (numbers[0] !== numbers[1]) return Number(numbers[0]) - Number(numbers[1]);
    return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  };
  // Column of each sorting heading: those that span two rows take a column of the second row's too.
  const columnsOf = (table) => {
    const [first, second] = table.tHead.rows;
    const below = second ? [...second.cells] : [];
    return [...first.cells].flatMap((cell) => (cell.hasAttribute("aria-sort") ? [cell] : below.splice(0, cell.colSpan)));
  };
  for (const table of all("table[data-sortable]")) {
    const headings = columnsOf(table);
    const body = table.tBodies[0];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of headings) other.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => ({ row, key: keyOf(row, column) }));
        rows.sort((a, b) => compare(a.key, b.key, sign));
        body.append(...rows.map(({ row }) => row));
        say(`Sorted by ${heading.textContent.trim()}, ${heading.getAttribute("aria-sort")}`);
      });
    });
  }

  // Who follows a row to its entry of the config sees that entry's keys.
  const unfold = () => find(decodeURIComponent(location.hash.slice(1)))?.querySelector(":scope > td > details")?.setAttribute("open", "");
  addEventListener("hashchange", unfold);
  unfold();

  // A table that continues to the right fades there.
  const fade = (region) => {
    region.classList.toggle("more", region.scrollLeft + region.clientWidth < region.scrollWidth - 4);
  };
  const sizes = new ResizeObserver((entries) => { for (const entry of entries) fade(entry.target); });
  for (const region of all(".scroll")) {
    region.addEventListener("scroll", () => fade(region), { passive: true });
    sizes.observe(region);
  }

  // LaTeX: to the clipboard, or where there is none, selected in its place.
  const select = (source) => {
    source.closest("details").open = true;
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    source.focus();
  };
  for (const button of all(".copy")) {
    const label = button.firstChild;
    const words = label.textContent;
    button.addEventListener("click", async () => {
      const source = find(button.dataset.copies);
      let said = "Copied";
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        select(source);
        said = "Selected: press Ctrl+C";
      }
      label.textContent = said;
      say(said);
      setTimeout(() => { label.textContent = words; }, 2000);
    });
  }

  // Pairs: the position of the line follows its range input.
  const cut = (input) => {
    input.closest(".compare").style.setProperty("--cut", `${input.value}%`);
    input.setAttribute("aria-valuetext", `${input.value} % original`);
  };
  document.addEventListener("input", (event) => {
    if (event.target.matches(".compare input")) cut(event.target);
  });
  const pairs = all(".pairs > li");
  if (pairs.length) {
    const first = find("model").options[0].value;
    data.reconstructions[first] = pairs.map((pair) => pair.querySelector(".over").src);
    data.words[first] = pairs.map((pair) => pair.querySelector(".words").textContent);
  }
  find("model")?.addEventListener("change", (event) => {
    const model = event.target.value;
    pairs.forEach((pair, index) => {
      pair.querySelector(".over").src = data.reconstructions[model][index];
      pair.querySelector(".words").textContent = data.words[model][index];
    });
    say(`Reconstructed by ${model}`);
  });

  // Samples: one page at a time.
  const samples = all("#sample-pages > li");
  const pages = Math.ceil(samples.length / PAGE);
  let page = 0;
  const showPage = (wanted) => {
    page = Math.min(Math.max(wanted, 0), pages - 1);
    samples.forEach((item, index) => { item.hidden = Math.floor(index / PAGE) !== page; });
    const last = Math.min((page + 1) * PAGE, samples.length);
    find("page-number").textContent = `${page * PAGE} to ${last - 1}, page ${page + 1} of ${pages}`;
    find("page-previous").disabled = page === 0;
    find("page-next").disabled = page === pages - 1;
  };
  if (samples.length) {
    find("page-previous").addEventListener("click", () => showPage(page - 1));
    find("page-next").addEventListener("click", () => showPage(page + 1));
    showPage(0);
  }

  // The viewer: images of one group, one after the other.
  const viewer = find("viewer");
  const body = find("viewer-body");
  let group = [];
  let position = 0;
  const made = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const neighboursOf = (index) => {
    const near = data.neighbours[index] ?? [];
    if (!near.length) return [made("p", { textContent: "No nearest training images were searched for this sample." })];
    const items = near.map(([name, distance], rank) => made("li", {},
      made("img", { src: data.train[name], alt: `Training image ${name}, neighbour ${rank + 1}`, className: smoothness(data.train[name]) }),
      made("span", { textContent: `LPIPS ${distance}` }),
      made("span", { textContent: name.split("/").pop(), title: name })));
    return [made("h3", { textContent: "Nearest training images, by LPIPS" }), made("ol", { className: "near" }, ...items)];
  };
  const smoothness = (uri) => (uri.startsWith("data:image/webp") ? "smooth" : "");
  const shown = {
    pairs: (opener) => {
      const pair = opener.closest("li");
      const compare = pair.querySelector(".compare").cloneNode(true);
      const words = made("p", { textContent: `${find("model").value}: ${pair.querySelector(".words").textContent}` });
      return [compare, words];
    },
    samples: (opener, index) => {
      const source = opener.querySelector("img").src;
      const image = made("img", { src: source, alt: opener.dataset.title, className: `enlarged small ${smoothness(source)}` });
      return [made("div", { className: "beside" }, image, made("div", {}, ...neighboursOf(index)))];
    },
  };
  const figure = (opener) => {
    const image = opener.querySelector("img");
    const caption = opener.parentElement.querySelector("figcaption");
    return [
      made("img", { src: image.currentSrc, alt: opener.dataset.title, className: "enlarged smooth" }),
      made("p", { textContent: caption.textContent }),
    ];
  };
  const show = (wanted) => {
    position = (wanted + group.length) % group.length;
    const opener = group[position];
    find("viewer-title").textContent = `${opener.dataset.title} (${position + 1} of ${group.length})`;
    body.replaceChildren(...(shown[opener.dataset.group] ?? figure)(opener, position));
    viewer.scrollTop = 0;
  };
  for (const opener of all("[data-group]")) {
    opener.addEventListener("click", () => {
      group = all(`[data-group="${opener.dataset.group}"]`);
      viewer.showModal();
      show(group.indexOf(opener));
    });
  }
  find("viewer-previous").addEventListener("click", () => show(position - 1));
  find("viewer-next").addEventListener("click", () => show(position + 1));
  find("viewer-close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) return;
    if (event.key === "ArrowLeft") show(position - 1);
    if (event.key === "ArrowRight") show(position + 1);
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    const opener = group[position];
    if (opener.dataset.group === "samples") showPage(Math.floor(position / PAGE));
    opener.focus();
    body.replaceChildren();
  });
  for (const image of all(".compare img, .samples img, .strip img")) {
    const smooth = smoothness(image.src);
    if (smooth) image.classList.add(smooth);
  }
})();
