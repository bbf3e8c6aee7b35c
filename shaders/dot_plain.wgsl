// Four signed bytes by four, summed.
fn dot4(a: u32, b: u32) -> i32 {
    let products = lanes(a) * lanes(b);
    return products.x + products.y + products.z + products.w;
}
