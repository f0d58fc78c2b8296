// Runs every tests/api/routes/<api>/*.case file; each file is one test over one server.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "api/routes/case_file.h"
#include "api/routes/harness.h"

namespace pippin::api::testing {
namespace {

std::vector<std::string> case_files() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(PIPPIN_SOURCE_DIR "/tests/api/routes")) {
    if (entry.path().extension() == ".case") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class RouteCasesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RouteCasesTest, AnswersAsWritten) {
  const std::vector<RouteCase> cases = read_cases(GetParam());
  EXPECT_FALSE(cases.empty());
  HarnessOptions options;
  if (GetParam().find("/openai/") == std::string::npos) {  // tools take many a byte, and token
    options.context_tokens_max = 8192;
    options.blocks = 1024;
    options.infill = true;
  }
  Harness harness(options);  // one for all: a case depends on none before, and a server lives on
  for (const RouteCase& route_case : cases) {
    const Response response = harness.call(route_case.method, route_case.path, route_case.body,
                                           route_case.request_headers);
    const std::string why = mismatch(route_case, response);
    EXPECT_EQ(why, "") << GetParam() << ":" << route_case.line << ": " << route_case.title << "\n"
                       << response.body;
  }
  EXPECT_TRUE(harness.wait_until_idle()) << "blocks or sequences are left";
}

std::string file_name(const ::testing::TestParamInfo<std::string>& info) {
  const std::filesystem::path path(info.param);
  return path.parent_path().filename().string() + "_" + path.stem().string();
}

INSTANTIATE_TEST_SUITE_P(Wire, RouteCasesTest, ::testing::ValuesIn(case_files()), file_name);

}  // namespace
}  // namespace pippin::api::testing
