// What layers keep that differ from each other: chunks, windows, keys that they share.
#include <gtest/gtest.h>

#include <string>

#include "models/model.h"
#include "store/checkpoint.h"

namespace pippin::models {
namespace {

store::ModelConfig config_of(const std::string& name) {
  const auto file = store::Checkpoint::open(std::string(PIPPIN_SOURCE_DIR) +
                                            "/tests/models/fixtures/families/" + name);
  return file->config().value();
}

void expect_refused(const store::ModelConfig& config, Code code, std::string_view param) {
  const auto spec = make_spec(config);
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().code, code) << spec.error().message;
  EXPECT_EQ(spec.error().param, param) << spec.error().message;
}

TEST(LayerKinds, LayersThatShareKeysKeepNone) {
  for (const std::string name : {"gemma4", "gemma4/model.gguf", "gemma3n"}) {
    const store::ModelConfig config = config_of(name);
    ASSERT_EQ(config.shared_kv_layers, 2) << name;
    EXPECT_EQ(make_spec(config)->layers.size(), 2u) << name;
  }
}

TEST(LayerKinds, LayersWithAWindowHaveHeadsOfTheirOwnSize) {
  const auto spec = make_spec(config_of("gemma4/model.gguf"));
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->layers[0].head_dim, 16);
  EXPECT_EQ(spec->layers[0].window, 8);
  EXPECT_EQ(spec->layers[1].head_dim, 32);
  EXPECT_EQ(spec->layers[1].window, 0);
}

TEST(LayerKinds, ChunksAreAGroup) {
  const std::vector<KvGroupSpec> groups =
      make_spec(config_of("llama4_chunks"))->kv_groups(nn::KvType::kF16);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[1].kind, KvKind::kChunked);
  EXPECT_EQ(groups[1].window, 12);
  EXPECT_EQ(groups[1].layers, 3);
}

TEST(LayerKinds, WhatNoLayerHasIsRefusedByName) {
  const store::ModelConfig good = config_of("gemma4/model.gguf");
  ASSERT_TRUE(make_spec(good).ok());
  store::ModelConfig config = good;
  config.shared_kv_layers = 3;  // none of the others sees all positions
  expect_refused(config, Code::kInvalidFile, "gemma4.attention.shared_kv_layers");
  config = good;
  config.rope.dims_window = 32;  // of heads of 16
  expect_refused(config, Code::kUnsupported, "gemma4.rope.dimension_count_swa");
  config = good;
  config.head_dim_window = 24;
  expect_refused(config, Code::kUnsupported, "gemma4.attention.key_length_swa");
}

}  // namespace
}  // namespace pippin::models
