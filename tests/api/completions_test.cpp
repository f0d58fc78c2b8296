// Completions that need a model of a certain kind, or a choice among answers.
#include <gtest/gtest.h>

#include <boost/json/value.hpp>
#include <string>

#include "api/routes/harness.h"
#include "service/json.h"

namespace pippin::api::testing {
namespace {

constexpr char kCompletions[] = "/v1/completions";

boost::json::value completion(Harness& harness, const std::string& fields) {
  const Response response =
      harness.call("POST", kCompletions, R"({"model":"parrot",)" + fields + "}");
  EXPECT_EQ(response.status, 200) << response.body;
  return *service::parse_json(response.body);
}

TEST(Completions, FillsInTheMiddleByTheModelsOwnTokens) {
  HarnessOptions options;
  options.infill = true;
  Harness harness(options);
  // The model repeats its prompt, up to the first token that must not come.
  const auto text = [&](const std::string& fields) {
    return std::string(completion(harness, fields).at_pointer("/choices/0/text").as_string());
  };
  const std::string ids = R"("prompt":[97,98],"suffix":"cd","max_tokens":50)";
  EXPECT_EQ(text(ids), "") << "the prompt begins with a mark, and marks end the answer";
  const boost::json::value counted =
      completion(harness, R"("prompt":"ab","suffix":"cd","max_tokens":1)");
  EXPECT_EQ(counted.at_pointer("/usage/prompt_tokens").as_int64(), 2 + 2 + 3) << "and three marks";
  const boost::json::value marks =
      completion(harness, R"("prompt":"<|fim_middle|>","suffix":"b","max_tokens":1)");
  EXPECT_GT(marks.at_pointer("/usage/prompt_tokens").as_int64(), 10) << "a mark in a text is text";
  EXPECT_EQ(text(R"("prompt":"ab","suffix":"")"), "ab") << "no suffix, no middle";
}

TEST(Completions, ReturnsTheBestOfMany) {
  Harness harness;
  const boost::json::value answer =
      completion(harness, R"("prompt":["ab","cd"],"n":2,"best_of":3)");
  const auto& choices = answer.at("choices").as_array();
  ASSERT_EQ(choices.size(), 4u);
  for (size_t i = 0; i < choices.size(); ++i) {
    EXPECT_EQ(choices[i].at("index").as_int64(), static_cast<int64_t>(i));
    EXPECT_EQ(choices[i].at("text").as_string(), i < 2 ? "ab" : "cd");
    EXPECT_TRUE(choices[i].at("logprobs").is_null()) << "they were not asked for";
  }
  EXPECT_EQ(answer.at_pointer("/usage/completion_tokens").as_int64(), 2 * 3 * 3)
      << "what is not returned has been generated, too";
}

}  // namespace
}  // namespace pippin::api::testing
