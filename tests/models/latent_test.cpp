// What a model with compressed keys and values keeps of a position.
#include <gtest/gtest.h>

#include <string>

#include "models/model.h"
#include "store/checkpoint.h"

namespace pippin::test {
namespace {

const std::string kFolder = std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/families/";

TEST(Latent, KeepsTheCompressedValuesTheSharedKeyAndTheIndexersAlone) {
  struct Case {
    const char* name;
    int indexers;  // layers that have one
  };
  for (const auto& [name, indexers] :
       {Case{"deepseek2", 0}, Case{"deepseek3/model.gguf", 0}, Case{"deepseek32", 2},
        Case{"deepseek32/model.gguf", 2}, Case{"glm5", 1}, Case{"glm5/model.gguf", 1}}) {
    const auto file = store::Checkpoint::open(kFolder + name);
    ASSERT_TRUE(file.ok()) << file.error().message;
    const store::ModelConfig config = file->config().value();
    const auto spec = models::make_spec(config);
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    const std::vector<KvGroupSpec> groups = spec->kv_groups(nn::KvType::kF16);
    ASSERT_EQ(groups.size(), 1u);
    EXPECT_EQ(groups[0].kind, KvKind::kFull);
    EXPECT_EQ(config.latent.rank, 32);
    EXPECT_EQ(config.rope.dims, 16);
    EXPECT_EQ(config.layers, 2);
    const int64_t values = 2 * (32 + 16) + indexers * 32;
    EXPECT_EQ(groups[0].bytes, nn::kBlockPositions * values * 2) << name;
  }
}

void expect_refused(const store::ModelConfig& config, Code code, const char* key) {
  const auto spec = models::make_spec(config);
  ASSERT_FALSE(spec.ok()) << key;
  EXPECT_EQ(spec.error().code, code) << key;
  EXPECT_EQ(spec.error().param, config.architecture + "." + key);
}

TEST(Latent, SizesThatNoKernelTakesAreRefusedByName) {
  const auto dense = store::Checkpoint::open(kFolder + "deepseek3")->config().value();
  store::ModelConfig config = dense;
  config.latent.value = 24;
  expect_refused(config, Code::kUnsupported, "attention.value_length_mla");
  config = dense;
  config.rope.dims = 2048;
  expect_refused(config, Code::kUnsupported, "rope.dimension_count");
}

TEST(Latent, IndexersThatCannotBeAreRefusedByName) {
  store::ModelConfig dense = store::Checkpoint::open(kFolder + "deepseek3")->config().value();
  const auto sparse = store::Checkpoint::open(kFolder + "deepseek32")->config().value();
  dense.latent.index = sparse.latent.index;
  expect_refused(dense, Code::kUnsupported, "attention.indexer.top_k");
  store::ModelConfig config = sparse;
  config.latent.index.top = 0;
  expect_refused(config, Code::kInvalidFile, "attention.indexer.top_k");
  config = sparse;
  config.latent.query_rank = 0;
  expect_refused(config, Code::kInvalidFile, "attention.q_lora_rank");
  config = sparse;
  config.latent.index.layers = {false, true};
  expect_refused(config, Code::kInvalidFile, "attention.indexer.types");
  config = sparse;
  config.latent.index.dim = 24;
  expect_refused(config, Code::kUnsupported, "attention.indexer.key_length");
}

}  // namespace
}  // namespace pippin::test
