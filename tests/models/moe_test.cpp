// What a mixture of experts' configuration may not say.
#include <gtest/gtest.h>

#include "models/model.h"
#include "store/checkpoint.h"

namespace pippin::models {
namespace {

store::ModelConfig config_of(const std::string& name) {
  const auto file =
      store::Checkpoint::open(std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/" + name);
  return file->config().value();
}

void expect_refused(const store::ModelConfig& config, Code code, std::string_view param) {
  const auto spec = make_spec(config);
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().code, code) << spec.error().message;
  EXPECT_EQ(spec.error().param, param) << spec.error().message;
}

TEST(Moe, ExpertsOfAFamilyWithoutThemAreRefused) {
  store::ModelConfig config = config_of("qwen2.gguf");
  config.experts = {.count = 8, .used = 2, .feed_forward = 32};
  expect_refused(config, Code::kUnsupported, "qwen2.expert_count");
}

TEST(Moe, ChoicesThatAreNotThereAreRefused) {
  const store::ModelConfig good = config_of("families/qwen3moe/model.gguf");
  ASSERT_TRUE(make_spec(good).ok());
  store::ModelConfig config = good;
  config.experts.used = 9;
  expect_refused(config, Code::kInvalidFile, "qwen3moe.expert_used_count");
  config = good;
  config.experts.feed_forward = 0;
  config.feed_forward[1] = 0;
  expect_refused(config, Code::kInvalidFile, "qwen3moe.expert_feed_forward_length");
  config = good;
  config.experts.groups = 4;
  config.experts.groups_used = 2;
  EXPECT_TRUE(make_spec(config).ok()) << "3 of 4 experts";
  config.experts.groups_used = 1;
  expect_refused(config, Code::kInvalidFile, "qwen3moe.expert_group_used_count");
  config.experts.groups = 3;
  expect_refused(config, Code::kInvalidFile, "qwen3moe.expert_group_used_count");
}

}  // namespace
}  // namespace pippin::models
