#include "base/size_text.h"

#include <gtest/gtest.h>

namespace pippin {
namespace {

TEST(SizeText, HasTwoOrThreeFigures) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(1000), "1.0 kB");
  EXPECT_EQ(size_text(98.4e6), "98 MB");
  EXPECT_EQ(size_text(1.25e9), "1.2 GB");
  EXPECT_EQ(size_text(3e15), "3000 TB");
}

}  // namespace
}  // namespace pippin
