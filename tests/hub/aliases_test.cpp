#include "hub/aliases.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace pippin::hub {
namespace {

TEST(Aliases, LeadOverOthersButNotInACircle) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "aliases";
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  ASSERT_TRUE(set_alias(file, "a", "b").ok());
  ASSERT_TRUE(set_alias(file, "b", "hf:org/repo").ok());
  EXPECT_EQ(end_of_alias(read_aliases(file).value(), "a").value(), "hf:org/repo");
  EXPECT_EQ(end_of_alias(read_aliases(file).value(), "other").value(), "other");
  for (const char* target : {"a", "b"}) {
    const Result<void> circle = set_alias(file, "b", target);
    ASSERT_FALSE(circle.ok()) << target;
    EXPECT_EQ(circle.error().code, Code::kInvalidArgument);
  }
  EXPECT_EQ(end_of_alias(read_aliases(file).value(), "a").value(), "hf:org/repo") << "as before";
  // Somebody has written the file by hand.
  EXPECT_FALSE(end_of_alias({{"x", "y"}, {"y", "x"}}, "x").ok());
}

}  // namespace
}  // namespace pippin::hub
