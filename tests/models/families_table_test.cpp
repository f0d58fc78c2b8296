// docs/models.md tells which families this build knows; the table is made from their rows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "models/families/family.h"

namespace pippin::test {
namespace {

const std::string kPath = std::string(PIPPIN_SOURCE_DIR) + "/docs/models.md";
constexpr std::string_view kBegin = "<!-- families -->\n", kEnd = "<!-- /families -->";

std::string table() {
  std::string text =
      "| models | GGUF's `general.architecture` | `model_type` of config.json |\n|---|---|---|\n";
  for (const models::Family* family : models::families()) {
    std::string types;
    for (const store::HfFamily& one : family->hf)
      types += fmt::format("{}`{}`", types.empty() ? "" : ", ", one.model_type);
    text += fmt::format("| {} | `{}` | {} |\n", family->models, family->architecture, types);
  }
  return text;
}

TEST(Families, EachHasItsOwnName) {
  std::set<std::string_view> architectures;
  for (const models::Family* family : models::families()) {
    EXPECT_TRUE(architectures.insert(family->architecture).second) << family->architecture;
    EXPECT_FALSE(family->models.empty()) << family->architecture;
  }
}

// With PIPPIN_WRITE_DOCS=1 the document is brought up to date instead.
TEST(Families, TheDocumentListsThem) {
  std::ifstream file(kPath);
  std::string document{std::istreambuf_iterator<char>(file), {}};
  const size_t begin = document.find(kBegin), end = document.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos && begin < end);
  const size_t first = begin + kBegin.size();
  if (std::getenv("PIPPIN_WRITE_DOCS") != nullptr) {
    document.replace(first, end - first, table());
    std::ofstream(kPath) << document;
    return;
  }
  EXPECT_EQ(document.substr(first, end - first), table())
      << "run pippin_test_models with PIPPIN_WRITE_DOCS=1";
}

}  // namespace
}  // namespace pippin::test
