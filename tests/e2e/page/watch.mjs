// Watches the first rollout of a running demo in a real browser, from the log-in to "completed", without a reload.
// Usage: node watch.mjs URL TOKEN_FILE FOLDER_FOR_SCREENSHOTS       (SANDERLING_NODE_MODULES: where playwright-core is)
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [url, tokenFile, folder] = process.argv.slice(2);
const require = createRequire(join(process.env.SANDERLING_NODE_MODULES, "x.js"));
const { chromium } = require("playwright-core");
const token = readFileSync(tokenFile, "utf8").trim();
const problems = [];

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1100, height: 1400 } });
  page.setDefaultTimeout(120_000);
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));

  // A wrong token is refused, in words.
  await page.goto(url);
  await page.getByLabel("Operator's token").fill("certainly not the token");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  problems.length = 0; // The refusal's status is an error to the console.

  await page.getByLabel("Operator's token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Fleet", exact: true }).waitFor();
  // The rollout is not there yet: it must come by itself.
  await page.locator("#rollout-1").waitFor();
  await page.screenshot({ path: join(folder, "fleet.png"), fullPage: true });

  await page.goto(new URL("/rollouts/1", url).href);
  const card = page.locator("#rollout-1");
  await card.waitFor();
  const seen = new Set();
  const status = card.locator(".badge").first();
  const deadline = Date.now() + 120_000;
  let text = "";
  while (Date.now() < deadline) {
    text = (await status.innerText()).toLowerCase();
    seen.add(await card.locator("h2").innerText());
    if (text.includes("completed")) break;
    await page.waitForTimeout(200);
  }
  await page.screenshot({ path: join(folder, "rollout.png"), fullPage: true });
  if (!text.includes("completed")) problems.push(`the rollout's badge says '${text}', not 'completed'`);
  if (seen.size < 2) problems.push(`the headline never changed: ${[...seen].join()}`);
  const evidence = await card.locator(".evidence").innerText();
  if (!/rule out/i.test(evidence)) problems.push(`the evidence does not say what it rules out: ${evidence}`);

  // A device's history is one click away.
  await page.goto(new URL("/devices", url).href);
  await page.locator("#devices tbody a").first().click();
  await page.getByRole("heading").first().waitFor();
  console.log(JSON.stringify({ headlines: [...seen], evidence, problems }));
} finally {
  await browser.close();
}
process.exit(problems.length === 0 ? 0 : 1);
