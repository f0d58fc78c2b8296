// Integer dot products in plain AVX2, after simd_avx2-inl.h.
// Included inside an unnamed namespace by kernels_avx2.cpp; hence no includes here.

template <int kMax>
inline W w_ready(W codes) {
  return codes;
}

// Forces the value to be computed now. The compiler would otherwise delay the additions and spill
// all products.
inline __m256i in_register(__m256i value) {
  asm("" : "+x"(value));
  return value;
}

#define PIPPIN_DOT_BY_CODES
constexpr int kUnsignedMax = 255;  // larger codes lose their offset in add()
/// Integer sums of kRows activation rows times one group, or its sub-blocks, fed one sub-vector of
/// codes at a time. begin() sets their initial value; without kBegun it is zero.
/// Pairs of products are added in 16 bits, for as many sub-vectors as cannot overflow. Registers
/// lie in arrays of their own: the compiler would keep an array of pairs in memory.
template <int kRows, bool kSubBlocks16, int kMax, bool kBegun>
struct DotRows {
  static constexpr int kFit = 32767 / (kMax * 254);
  static constexpr int kPart = kSubBlocks16 ? 4 : 8;  // sub-vectors that share a sum
  static constexpr int kRun = kFit < kPart ? kFit : kPart;

  void begin(int sub_block, int r, I start) {
    sum_a[sub_block][r] = start.a;
    sum_b[sub_block][r] = start.b;
  }
  I total(int sub_block, int r) const { return {sum_a[sub_block][r], sum_b[sub_block][r]}; }

  template <int s, typename X>
  void add(W w, const X* x) {
    constexpr int kInPart = s % kPart;
    constexpr bool kLast = kInPart % kRun == kRun - 1 || kInPart == kPart - 1;
    constexpr int kSubBlock = kSubBlocks16 ? s / 4 : 0;
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i q = activations(x[r], s);
      const __m256i a = _mm256_maddubs_epi16(w.a, q);
      const __m256i b = _mm256_maddubs_epi16(w.b, q);
      run_a[r] = kInPart % kRun == 0 ? a : _mm256_add_epi16(run_a[r], a);
      run_b[r] = kInPart % kRun == 0 ? b : _mm256_add_epi16(run_b[r], b);
      if constexpr (kRun >= 4) {  // the 16-bit sums are all that must stay
        run_a[r] = in_register(run_a[r]);
        run_b[r] = in_register(run_b[r]);
      }
      if constexpr (kLast) {
        const __m256i more_a = _mm256_madd_epi16(run_a[r], ones);
        const __m256i more_b = _mm256_madd_epi16(run_b[r], ones);
        constexpr bool kFirst = !kBegun && kInPart < kRun;
        sum_a[kSubBlock][r] = kFirst ? more_a : _mm256_add_epi32(sum_a[kSubBlock][r], more_a);
        sum_b[kSubBlock][r] = kFirst ? more_b : _mm256_add_epi32(sum_b[kSubBlock][r], more_b);
      }
    }
  }

 private:
  __m256i sum_a[kSubBlocks16 ? 2 : 1][kRows], sum_b[kSubBlocks16 ? 2 : 1][kRows];
  __m256i run_a[kRows], run_b[kRows];  // 16-bit sums
};

/// The same for full 8-bit codes: not even one pair of their products fits 16 bits. Codes and
/// activations are widened instead, the even ones of a lane's four and the odd ones. Activations go
/// to the high bytes, which needs no sign extension. So the sums are 256 times too large on the
/// way.
template <int kRows, bool kSubBlocks16, bool kBegun>
struct DotRows<kRows, kSubBlocks16, 255, kBegun> {
  void begin(int sub_block, int r, I start) {
    sum_a[sub_block][r] = start.a;
    sum_b[sub_block][r] = start.b;
  }
  I total(int sub_block, int r) const { return {sum_a[sub_block][r], sum_b[sub_block][r]}; }

  template <int s, typename X>
  void add(W w, const X* x) {
    constexpr int kPart = kSubBlocks16 ? 4 : 8;  // sub-vectors that share a sum
    constexpr int kSubBlock = kSubBlocks16 ? s / 4 : 0;
    const __m256i low = _mm256_set1_epi16(255);
    const W even{_mm256_and_si256(w.a, low), _mm256_and_si256(w.b, low)};
    const W odd{_mm256_srli_epi16(w.a, 8), _mm256_srli_epi16(w.b, 8)};
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i q = activations(x[r], s);
      add_pairs<s % kPart == 0>(run_a[r], run_b[r], odd, _mm256_andnot_si256(low, q));
      add_pairs<false>(run_a[r], run_b[r], even, _mm256_slli_epi16(q, 8));
      if constexpr (s % kPart == kPart - 1) {
        const __m256i more_a = _mm256_srai_epi32(run_a[r], 8);
        const __m256i more_b = _mm256_srai_epi32(run_b[r], 8);
        sum_a[kSubBlock][r] = kBegun ? _mm256_add_epi32(sum_a[kSubBlock][r], more_a) : more_a;
        sum_b[kSubBlock][r] = kBegun ? _mm256_add_epi32(sum_b[kSubBlock][r], more_b) : more_b;
      }
    }
  }

 private:
  template <bool kFirst>
  static void add_pairs(__m256i& sum_a, __m256i& sum_b, W codes, __m256i pair) {
    const __m256i a = _mm256_madd_epi16(codes.a, pair);
    const __m256i b = _mm256_madd_epi16(codes.b, pair);
    sum_a = in_register(kFirst ? a : _mm256_add_epi32(sum_a, a));
    sum_b = in_register(kFirst ? b : _mm256_add_epi32(sum_b, b));
  }

  __m256i sum_a[kSubBlocks16 ? 2 : 1][kRows], sum_b[kSubBlocks16 ? 2 : 1][kRows];
  __m256i run_a[kRows], run_b[kRows];  // sums in units of 1 / 256
};
