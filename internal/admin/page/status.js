"use strict";
// Keeps the page current: it is asked for again and what differs is put in the place of what
// was there, so that nothing jumps and what was opened stays open.
(() => {
	const every = 2000;
	const live = document.querySelector(".live");
	const box = live.querySelector("input");
	live.hidden = false;

	const merge = (a, b) => {
		if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) {
			a.replaceWith(b);
			return;
		}
		if (a.nodeType !== Node.ELEMENT_NODE) {
			if (a.data !== b.data) a.data = b.data;
			return;
		}
		for (const { name } of [...a.attributes]) {
			if (!b.hasAttribute(name) && name !== "open") a.removeAttribute(name);
		}
		for (const { name, value } of b.attributes) {
			if (a.getAttribute(name) !== value) a.setAttribute(name, value);
		}
		const kept = new Map();
		for (const c of a.children) if (c.id) kept.set(c.id, c);
		let at = a.firstChild;
		for (const c of [...b.childNodes]) {
			const same = c.id ? kept.get(c.id) : null;
			if (same) {
				if (same === at) at = at.nextSibling;
				else a.insertBefore(same, at);
				merge(same, c);
			} else if (at && !at.id && !c.id) {
				const next = at.nextSibling;
				merge(at, c);
				at = next;
			} else {
				a.insertBefore(c, at);
			}
		}
		while (at) {
			const next = at.nextSibling;
			at.remove();
			at = next;
		}
	};

	let busy = false;
	const refresh = async () => {
		if (busy) return;
		busy = true;
		try {
			const resp = await fetch("./", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(15000) });
			if (!resp.ok) throw new Error(resp.status);
			const next = new DOMParser().parseFromString(await resp.text(), "text/html");
			document.title = next.title;
			for (const part of ["#state", "#uptime", "main"]) {
				merge(document.querySelector(part), next.querySelector(part));
			}
		} catch {
			document.querySelector("#lost").hidden = false;
		}
		busy = false;
	};

	setInterval(() => {
		if (box.checked && !document.hidden) refresh();
	}, every);
	document.addEventListener("visibilitychange", () => {
		if (box.checked && !document.hidden) refresh();
	});
	document.addEventListener("submit", async (event) => {
		event.preventDefault();
		const form = event.target;
		form.querySelector("button").disabled = true;
		try {
			await fetch(form.action, { method: "POST" });
		} finally {
			refresh();
		}
	});
})();
