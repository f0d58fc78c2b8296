// Runs every tests/wire/<api>/*.case file; each file is one test over one server.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "wire/case_file.h"
#include "wire/harness.h"

namespace pippin::api::testing {
namespace {

std::vector<std::string> case_files() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(PIPPIN_SOURCE_DIR "/tests/wire")) {
    if (entry.path().extension() == ".case") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class WireTest : public ::testing::TestWithParam<std::string> {};

TEST_P(WireTest, AnswersAsWritten) {
  const std::vector<WireCase> cases = read_cases(GetParam());
  EXPECT_FALSE(cases.empty());
  HarnessOptions options;
  if (GetParam().find("/openai/") == std::string::npos) {  // tools take many a byte, and token
    options.context_tokens_max = 8192;
    options.blocks = 1024;
    options.infill = true;
  }
  Harness harness(options);  // one for all: a case depends on none before, and a server lives on
  for (const WireCase& wire_case : cases) {
    const Response response = harness.call(wire_case.method, wire_case.path, wire_case.body,
                                           wire_case.request_headers);
    const std::string why = mismatch(wire_case, response);
    EXPECT_EQ(why, "") << GetParam() << ":" << wire_case.line << ": " << wire_case.title << "\n"
                       << response.body;
  }
  EXPECT_TRUE(harness.wait_until_idle()) << "blocks or sequences are left";
}

std::string file_name(const ::testing::TestParamInfo<std::string>& info) {
  const std::filesystem::path path(info.param);
  return path.parent_path().filename().string() + "_" + path.stem().string();
}

INSTANTIATE_TEST_SUITE_P(Wire, WireTest, ::testing::ValuesIn(case_files()), file_name);

}  // namespace
}  // namespace pippin::api::testing
