// Scales of quantised activations, the same on every path.
// Included inside an unnamed namespace by one .cpp file per instruction set, before the quantiser;
// hence no includes here.

struct GroupScale {
  float scale;    // x ~ scale * code
  float inverse;  // of the scale; 0 of a group of zeros
};

/// The scale of a group whose largest magnitude is `peak`. As a power of two it is up to twice what
/// the codes need, but products with it are exact, so that it can be applied wherever it is
/// cheapest.
template <bool kPowerOfTwo>
inline GroupScale group_scale(float peak, bool some) {
  if (!some) return {0, 0};
  float scale = peak / 127.0f;
  if constexpr (kPowerOfTwo) {
    if (!(scale < kPowerMost)) scale = kPowerMost;
    uint32_t bits;
    __builtin_memcpy(&bits, &scale, 4);
    bits = (bits + 0x7fffff) & 0xff800000;  // the next power of two
    __builtin_memcpy(&scale, &bits, 4);
  }
  return {scale, 1.0f / scale};
}
