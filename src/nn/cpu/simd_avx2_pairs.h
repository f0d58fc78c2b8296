// Integer dot products in plain AVX2, after simd_avx2.h.
// Included inside an unnamed namespace by kernels_avx2.cpp; hence no includes here.

// Pairs of products are added in 16 bits. As many sub-vectors are summed there as cannot overflow;
// full 8-bit codes do not fit even once, so they are made signed and the sign moves to the
// activations.
template <int kMax>
inline W w_ready(W codes) {
  if constexpr (kMax <= 127) return codes;
  const __m256i flip = _mm256_set1_epi8(static_cast<char>(0x80));
  return {_mm256_xor_si256(codes.a, flip), _mm256_xor_si256(codes.b, flip)};
}
template <bool kSigned>
inline __m256i pair_sums(__m256i w, __m256i x) {
  if constexpr (kSigned) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_maddubs_epi16(w, x);
}

// Makes the value now: the compiler would otherwise put the additions off and keep all products
// instead, in memory.
inline void in_register(__m256i& value) { asm("" : "+x"(value)); }

#define PIPPIN_DOT_BY_CODES
constexpr int kUnsignedMax = 127;  // larger codes have lost their offset in add()
/// Integer sums of kRows activation rows against one group, or against its halves, fed one
/// sub-vector of codes at a time; the sums are begun by the caller.
template <int kRows, bool kHalves, int kMax>
struct DotRows {
  static constexpr bool kSigned = kMax > 127;
  static constexpr int kFit = kSigned ? 1 : 32767 / (kMax * 254);
  static constexpr int kPart = kHalves ? 4 : 8;  // sub-vectors that share a sum
  static constexpr int kRun = kFit < kPart ? kFit : kPart;

  template <int s>
  void add(W codes, const ActGroup* x) {
    const W w = w_ready<kMax>(codes);
    constexpr bool kFirst = s % kPart % kRun == 0;
    constexpr bool kLast = s % kPart % kRun == kRun - 1 || s % kPart == kPart - 1;
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, x[r].q + 4 * s, 4);
      const __m256i q = _mm256_set1_epi32(four);
      const __m256i a = pair_sums<kSigned>(w.a, q);
      const __m256i b = pair_sums<kSigned>(w.b, q);
      run[r] = kFirst ? W{a, b} : W{_mm256_add_epi16(run[r].a, a), _mm256_add_epi16(run[r].b, b)};
      if constexpr (kRun == 8) {  // where the 16-bit sums are all that must be kept
        in_register(run[r].a);
        in_register(run[r].b);
      }
      if constexpr (kLast) {
        I& total = sum[kHalves ? s / 4 : 0][r];
        total =
            i_add(total, {_mm256_madd_epi16(run[r].a, ones), _mm256_madd_epi16(run[r].b, ones)});
      }
    }
  }

  I sum[kHalves ? 2 : 1][kRows];
  W run[kRows];  // 16-bit sums
};
