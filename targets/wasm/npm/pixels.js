/** Pixels of a picture (Blob or File, ImageBitmap, <img>, <video>, <canvas>) as `{ width, height, data }`, ready for `classify`. */
export async function pixels(picture) {
  const drawn = picture instanceof Blob ? await createImageBitmap(picture) : picture;
  const width = drawn.naturalWidth || drawn.videoWidth || drawn.width;
  const height = drawn.naturalHeight || drawn.videoHeight || drawn.height;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(drawn, 0, 0);
  return context.getImageData(0, 0, width, height);
}
