// The sums of DotRows where dot products need no steps of 16 bits; after the vector vocabulary.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

/// 32-bit sums of kRows activation rows against one group, or against its halves. They begin at
/// what begin() says, or at zero without kBegun.
template <int kRows, bool kSubBlocks16, bool kBegun>
struct DotSums {
  DotSums() {
    if constexpr (kBegun) return;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      sum[0][r] = i_set1(0);
      sum[kSubBlocks16 ? 1 : 0][r] = i_set1(0);
    }
  }
  void begin(int half, int r, I start) { sum[half][r] = start; }
  I total(int half, int r) const { return sum[half][r]; }

 protected:
  I sum[kSubBlocks16 ? 2 : 1][kRows];
};
