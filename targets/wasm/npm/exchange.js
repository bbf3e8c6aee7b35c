// One exchange with the fleet server: the agent's request, the answer handed in as it comes.

/** What of an answer's head the agent reads. */
const READ = ["content-range", "retry-after", "decommissioned-at"];

/**
 * Carries out a request. `ended` is a signal that ends it: it was cancelled, or the updater closes.
 * @param agent the module's agent
 */
export async function exchange(agent, { id, method, url, headers, maxBody, timeoutS }, body, ended) {
  const late = AbortSignal.timeout(1000 * timeoutS);
  let begun = false;
  try {
    const response = await fetch(url, {
      method,
      headers,
      body: method === "POST" ? body : undefined,
      // Nothing of the page goes along, nothing is answered from a cache, nobody else answers.
      credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store", redirect: "error",
      signal: AbortSignal.any([late, ended]),
    });
    begun = true;
    if (!agent.respond(id, response.status, ...READ.map((name) => response.headers.get(name) ?? undefined))) {
      await response.body?.cancel();
      return;
    }
    let received = 0;
    const reader = response.body?.getReader();
    for (let block = await reader?.read(); block && !block.done; block = await reader.read()) {
      received += block.value.length;
      const more = agent.body(id, block.value);
      if (more && received <= maxBody) continue;
      await reader.cancel();
      if (more) agent.failed(id, "Broken", `the answer is longer than the ${maxBody} bytes asked for`);
      return;
    }
    agent.end(id);
  } catch (error) {
    if (late.aborted) agent.failed(id, "TimedOut", "");
    else if (ended.aborted) agent.failed(id, "Broken", "it was ended here");
    else if (begun) agent.failed(id, "Broken", error.message);
    // A browser does not tell a page which of these it was.
    else agent.failed(id, "Unreachable", `${error.message} (no network, no such server, or one that does not list this page's origin: \`sanderling server --allow-origin\`)`);
  }
}
