#include "base/percent.h"

#include <gtest/gtest.h>

namespace pippin {
namespace {

TEST(Percent, Decodes) {
  EXPECT_EQ(percent_decoded(""), "");
  EXPECT_EQ(percent_decoded("a+b"), "a+b");
  EXPECT_EQ(percent_decoded("%41%2f%2F%c3%A9z"), "A//\xc3\xa9z");
  EXPECT_EQ(percent_decoded("%00"), std::string(1, '\0'));
}

TEST(Percent, RefusesWhatIsNoCode) {
  for (const char* text : {"%", "%4", "a%4", "%4g", "%g4", "%%41", "100%"})
    EXPECT_EQ(percent_decoded(text), std::nullopt) << text;
}

}  // namespace
}  // namespace pippin
