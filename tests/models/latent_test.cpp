// What a model with compressed keys and values keeps of a position.
#include <gtest/gtest.h>

#include <string>

#include "models/model.h"
#include "store/checkpoint.h"

namespace pippin::test {
namespace {

TEST(Latent, KeepsTheCompressedValuesAndTheSharedKeyAlone) {
  const std::string folder = std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/families/";
  for (const std::string name : {"deepseek2", "deepseek3/model.gguf"}) {
    const auto file = store::Checkpoint::open(folder + name);
    ASSERT_TRUE(file.ok()) << file.error().message;
    const store::ModelConfig config = file->config().value();
    const auto spec = models::make_spec(config);
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    const std::vector<KvGroupSpec> groups = spec->kv_groups(nn::KvType::kF16);
    ASSERT_EQ(groups.size(), 1u);
    EXPECT_EQ(groups[0].kind, KvKind::kFull);
    const int64_t values = int64_t{config.latent.rank} + config.rope.dims;
    EXPECT_EQ(values, 32 + 16);
    EXPECT_EQ(groups[0].bytes, config.layers * nn::kBlockPositions * values * 2);
  }
}

TEST(Latent, SizesThatNoKernelTakesAreRefusedByName) {
  const std::string folder = std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/families/";
  store::ModelConfig config = store::Checkpoint::open(folder + "deepseek3")->config().value();
  config.latent.value = 24;
  const auto spec = models::make_spec(config);
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().code, Code::kUnsupported);
  EXPECT_EQ(spec.error().param, "deepseek2.attention.value_length_mla");
}

}  // namespace
}  // namespace pippin::test
