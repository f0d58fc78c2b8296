// The sums of DotRows where dot products need no steps of 16 bits; after the vector vocabulary.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

/// 32-bit sums of kRows activation rows times one group, or its sub-blocks. begin() sets their
/// initial value; without kBegun it is zero.
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
  void begin(int sub_block, int r, I start) { sum[sub_block][r] = start; }
  I total(int sub_block, int r) const { return sum[sub_block][r]; }

 protected:
  I sum[kSubBlocks16 ? 2 : 1][kRows];
};
