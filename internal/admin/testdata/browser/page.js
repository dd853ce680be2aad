// Looks at the status page in Chromium, and uses it.
//
//	node page.js CHROMIUM PROFILES SHOTS ELSEWHERE NAME=URL...
//
// PROFILES is an empty folder, SHOTS one for pictures or "". ELSEWHERE is a page of another
// origin. The samples are "empty", "busy", "broken" and "hostile"; "busy" takes POST
// /test/add, which adds a request that runs.
"use strict";
const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

const [exe, profiles, shots, elsewhere, ...rest] = process.argv.slice(2);
const urls = Object.fromEntries(rest.map((p) => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)]));
const patience = 120_000;

const launch = (name, more) =>
	chromium.launchPersistentContext(`${profiles}/${name}`, {
		executablePath: exe,
		timeout: patience,
		headless: true,
		args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
		...more,
	});

// open opens a page on which every complaint of the browser is an error of the test.
const open = async (context, complaints) => {
	const page = await context.newPage();
	page.setDefaultTimeout(patience);
	page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
	page.on("pageerror", (e) => complaints.push(String(e)));
	page.on("dialog", (d) => complaints.push(`dialog: ${d.message()}`));
	page.on("request", (r) => {
		if (!Object.values(urls).some((u) => r.url().startsWith(u + "/"))) complaints.push(`a request to ${r.url()}`);
	});
	return page;
};

// looks goes through all samples in all forms.
const looks = async (context) => {
	const complaints = [];
	const page = await open(context, complaints);
	for (const name of ["empty", "busy", "broken", "hostile"]) {
		for (const [form, colorScheme, width] of [["light", "light", 1280], ["dark", "dark", 1280], ["phone", "light", 360], ["tablet", "dark", 800]]) {
			await page.emulateMedia({ colorScheme });
			await page.setViewportSize({ width, height: 900 });
			await page.goto(urls[name] + "/");
			const seen = await page.evaluate(() => ({
				title: document.title,
				wide: document.documentElement.scrollWidth,
				ground: getComputedStyle(document.body).backgroundColor,
				scripts: document.scripts.length,
				images: document.images.length,
				handlers: document.querySelectorAll("[onerror],[onload],[onclick],[style],iframe,object,embed,base").length,
				narrow: [...document.querySelectorAll("td")].filter((td) => td.offsetWidth > 0 && td.offsetWidth < 40).length,
				out: [...document.querySelectorAll("td")].filter((td) => td.offsetWidth > 0 && td.scrollWidth > td.offsetWidth + 1).map((td) => td.textContent),
				links: [...document.links].map((a) => new URL(a.href).origin === location.origin),
			}));
			const where = `${name}, ${form}`;
			assert.match(seen.title, /Gatehouse on /, where);
			assert.ok(seen.wide <= width, `${where}: it is ${seen.wide} wide`);
			assert.deepEqual([seen.scripts, seen.images, seen.handlers], [1, 1, 0], where);
			assert.equal(seen.narrow, 0, `${where}: cells with no room`);
			assert.deepEqual(seen.out, [], `${where}: text beyond its cell`);
			assert.ok(seen.links.every(Boolean), where);
			assert.equal(seen.ground, colorScheme === "dark" ? "rgb(16, 20, 18)" : "rgb(245, 246, 244)", where);
			if (shots) await page.screenshot({ path: `${shots}/${name}-${form}.png`, fullPage: true });
		}
	}
	assert.deepEqual(complaints, []);
	await page.close();
};

// lives sees the page keep itself current without a jump, and ends a request.
const lives = async (context) => {
	const complaints = [];
	const page = await open(context, complaints);
	await page.setViewportSize({ width: 1280, height: 700 });
	await page.goto(urls.busy + "/");
	await page.locator("#failures details summary").first().click();
	await page.evaluate(() => scrollTo(0, 300));
	const row = page.locator("#running tr").filter({ hasText: "/git/linux.git/" });
	await row.locator("summary").focus();
	await page.request.post(urls.busy + "/test/add");
	await page.locator("#running tr").filter({ hasText: "added-1" }).waitFor();
	assert.equal(await page.locator("#failures details[open]").count(), 1, "what was opened has closed");
	assert.equal(await page.evaluate(() => scrollY), 300, "the page has jumped");
	assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY", "the focus is lost");

	await row.locator("summary").click();
	await row.getByRole("button", { name: "End it now" }).click();
	await row.waitFor({ state: "detached" });

	await page.getByLabel("live").uncheck();
	await page.request.post(urls.busy + "/test/add");
	await page.getByLabel("live").check();
	await page.locator("#running tr").filter({ hasText: "added-2" }).waitFor();

	assert.deepEqual(complaints, []);
	await page.route("**/*", (r) => r.abort());
	await page.locator("#lost").waitFor({ state: "visible" });
	await page.unrouteAll({ behavior: "ignoreErrors" });
	await page.locator("#lost").waitFor({ state: "hidden" });
	await page.close();
};

// attacked has a page of another origin try to end a request and to read the status.
const attacked = async (context) => {
	const page = await context.newPage();
	page.setDefaultTimeout(patience);
	await page.goto(elsewhere);
	const read = await page.evaluate(async (url) => {
		await fetch(`${url}/requests/added-1/end`, { method: "POST", mode: "no-cors" }).catch(() => {});
		return fetch(`${url}/status.json`).then((r) => r.text()).catch(() => "");
	}, urls.busy);
	assert.equal(read, "", "a page of another origin has read the status");
	await page.evaluate((url) => {
		const form = document.createElement("form");
		form.method = "POST";
		form.action = `${url}/requests/added-1/end`;
		document.body.append(form);
		form.submit();
	}, urls.busy);
	await page.waitForURL(urls.busy + "/**");
	await page.close();
};

// plain does without any script.
const plain = async (context) => {
	const page = await open(context, []);
	await page.goto(urls.busy + "/");
	assert.equal(await page.getByLabel("live").isVisible(), false, "a box that does nothing");
	const row = page.locator("#running tr").filter({ hasText: "added-2" });
	await row.locator("summary").click();
	await row.getByRole("button", { name: "End it now" }).click();
	await row.waitFor({ state: "detached" });
	assert.equal(page.url(), urls.busy + "/");
	assert.equal(await page.locator("#running tr").filter({ hasText: "added-1" }).count(), 1, "a page of another origin has ended a request");
	await page.close();
};

(async () => {
	const context = await launch("scripted");
	try {
		await looks(context);
		await lives(context);
		await attacked(context);
	} finally {
		await context.close();
	}
	const without = await launch("plain", { javaScriptEnabled: false });
	try {
		await plain(without);
	} finally {
		await without.close();
	}
})().catch((err) => {
	console.error(err);
	process.exitCode = 1;
});
