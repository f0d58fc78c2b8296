#include "base/duration_text.h"

#include <gtest/gtest.h>

namespace pippin {
namespace {

TEST(Duration, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(300e9, parse_duration("5m"));
  EXPECT_EQ(5400e9, parse_duration("1h30m"));
  EXPECT_EQ(1.5e9, parse_duration("1.5s"));
  EXPECT_EQ(250e6, parse_duration("250ms"));
  EXPECT_EQ(90e9, parse_duration("90"));
  EXPECT_EQ(0, parse_duration("0"));
  EXPECT_EQ(-1e9, parse_duration("-1"));
  EXPECT_EQ(-60e9, parse_duration("-1m"));
  for (const char* wrong : {"", "soon", "5 m", "m", "5x", "--1"})
    EXPECT_FALSE(parse_duration(wrong).has_value()) << wrong;
}

}  // namespace
}  // namespace pippin
