#include "hub/gguf_choice.h"

#include <gtest/gtest.h>

namespace pippin::hub {
namespace {

TEST(GgufChoice, AQuantIsReadFromTheName) {
  for (const auto& [path, quant] : std::vector<std::pair<const char*, const char*>>{
           {"Qwen2.5-1.5B-Instruct-Q4_K_M.gguf", "Q4_K_M"},
           {"SmolLM2.Q4_1.gguf", "Q4_1"},
           {"m-q8_0.gguf", "Q8_0"},
           {"m-IQ2_XXS.gguf", "IQ2_XXS"},
           {"m-BF16.gguf", "BF16"},
           {"m-MXFP4.gguf", "MXFP4"},
           {"m-Q4_K_M-00001-of-00002.gguf", "Q4_K_M"},
           {"Q4_K_M/m-00001-of-00002.gguf", "Q4_K_M"},
           {"model.gguf", ""},
           {"Qwen3.gguf", ""},
           {"m-Q4_K_M.bin", ""},
           {".gguf", ""}})
    EXPECT_EQ(quant_of(path), quant) << path;
}

TEST(GgufChoice, ShardsAreGroupedInOrder) {
  const std::vector<std::string> paths{"m-00002-of-00003.gguf",
                                       "m-00003-of-00003.gguf",
                                       "m-00001-of-00003.gguf",
                                       "m-00001-of-00002.gguf",
                                       "m-00004-of-00003.gguf",
                                       "mmproj-m.gguf",
                                       "README.md"};
  const auto groups = group_gguf(paths);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_FALSE(groups[0].complete());  // 1 of 2
  EXPECT_EQ(groups[1].files,
            (std::vector<std::string>{"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                      "m-00003-of-00003.gguf"}));
  EXPECT_TRUE(groups[1].complete());
  EXPECT_EQ(groups[2].shards, 1);  // 4 of 3 is no shard, but a file with an odd name
}

TEST(GgufChoice, OnlyCompleteGroupsAreChosen) {
  const std::vector<std::string> paths{"m-Q4_K_M-00001-of-00002.gguf", "m-Q8_0.gguf"};
  EXPECT_EQ(choose_gguf(group_gguf(paths), "")->quant, "Q8_0");
  EXPECT_FALSE(choose_gguf(group_gguf(paths), "Q4_K_M").ok());
  EXPECT_FALSE(choose_gguf({}, "").ok());
}

TEST(GgufChoice, AnExactQuantGoesBeforeAPartOfAName) {
  const std::vector<std::string> paths{"a-UD-Q4_K_M.gguf.x.gguf", "b-Q4_K_M-extra.gguf",
                                       "c-Q4_K_M.gguf"};
  EXPECT_EQ(choose_gguf(group_gguf(paths), "q4_k_m")->files.front(), "c-Q4_K_M.gguf");
  EXPECT_FALSE(choose_gguf(group_gguf(paths), "Q4_K").ok());
}

}  // namespace
}  // namespace pippin::hub
