// For a plain script tag: <script src="sanderling/global.js"></script>, then `const { Model } = await sanderling;`.
globalThis.sanderling = import(new URL("./index.js", document.currentScript.src).href);
