// Integer dot products in plain AVX2, after simd_avx2.h.
// Included inside an unnamed namespace by kernels_avx2.cpp; hence no includes here.

template <int kMax>
inline W w_ready(W codes) {
  return codes;
}

// Makes the value now: the compiler would otherwise put the additions off and keep all products
// instead, in memory.
inline void in_register(__m256i& value) { asm("" : "+x"(value)); }

#define PIPPIN_DOT_BY_CODES
constexpr int kUnsignedMax = 255;  // larger codes have lost their offset in add()
/// Integer sums of kRows activation rows against one group, or against its halves, fed one
/// sub-vector of codes at a time; the sums are begun by the caller.
///
/// Pairs of products are added in 16 bits, and as many sub-vectors are summed there as cannot
/// overflow.
template <int kRows, bool kHalves, int kMax>
struct DotRows {
  static constexpr int kFit = 32767 / (kMax * 254);
  static constexpr int kPart = kHalves ? 4 : 8;  // sub-vectors that share a sum
  static constexpr int kRun = kFit < kPart ? kFit : kPart;

  template <int s>
  void add(W w, const ActGroup* x) {
    constexpr bool kFirst = s % kPart % kRun == 0;
    constexpr bool kLast = s % kPart % kRun == kRun - 1 || s % kPart == kPart - 1;
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, x[r].q + 4 * s, 4);
      const __m256i q = _mm256_set1_epi32(four);
      const __m256i a = _mm256_maddubs_epi16(w.a, q);
      const __m256i b = _mm256_maddubs_epi16(w.b, q);
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

/// The same for full 8-bit codes, of which not even one pair of products fits in 16 bits. Codes and
/// activations are widened instead: a lane's four as two pairs, the even ones and the odd ones.
/// Activations go to the high bytes, which needs no extension of their signs, so the sums are 256
/// times too large on the way.
template <int kRows, bool kHalves>
struct DotRows<kRows, kHalves, 255> {
  template <int s>
  void add(W w, const ActGroup* x) {
    constexpr int kPart = kHalves ? 4 : 8;  // sub-vectors that share a sum
    const __m256i low = _mm256_set1_epi16(255);
    const W even{_mm256_and_si256(w.a, low), _mm256_and_si256(w.b, low)};
    const W odd{_mm256_srli_epi16(w.a, 8), _mm256_srli_epi16(w.b, 8)};
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i q = four<s>(x[r]);
      add_pairs<s % kPart == 0>(run[r], odd, _mm256_andnot_si256(low, q));
      add_pairs<false>(run[r], even, _mm256_slli_epi16(q, 8));
      if constexpr (s % kPart == kPart - 1) {
        I& total = sum[kHalves ? s / 4 : 0][r];
        total.a = _mm256_add_epi32(total.a, _mm256_srai_epi32(run[r].a, 8));
        total.b = _mm256_add_epi32(total.b, _mm256_srai_epi32(run[r].b, 8));
      }
    }
  }

  I sum[kHalves ? 2 : 1][kRows];
  I run[kRows];  // sums in units of 1 / 256

 private:
  template <int s>
  static __m256i four(const ActGroup& x) {
    int32_t codes;
    __builtin_memcpy(&codes, x.q + 4 * s, 4);
    return _mm256_set1_epi32(codes);
  }
  // Member by member: the compiler copies whole pairs of registers through memory.
  template <bool kFirst>
  static void add_pairs(I& sums, W codes, __m256i pair) {
    const __m256i a = _mm256_madd_epi16(codes.a, pair);
    const __m256i b = _mm256_madd_epi16(codes.b, pair);
    sums.a = kFirst ? a : _mm256_add_epi32(sums.a, a);
    sums.b = kFirst ? b : _mm256_add_epi32(sums.b, b);
    in_register(sums.a);
    in_register(sums.b);
  }
};
