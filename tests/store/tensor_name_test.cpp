#include "store/tensor_name.h"

#include <gtest/gtest.h>

namespace pippin::store {
namespace {

TEST(TensorName, TellsTheLayerAndThePart) {
  EXPECT_EQ(split_name("blk.3.attn_q.weight").layer, 3);
  EXPECT_EQ(split_name("blk.3.attn_q.weight").part, "attn_q.weight");
  for (const char* name : {"output.weight", "blk.", "blk.x.attn_q.weight", "blk.3", "blk.-3.a",
                           "blk.99999999999.attn_q.weight"}) {
    EXPECT_EQ(split_name(name).layer, -1) << name;
    EXPECT_EQ(split_name(name).part, name);
  }
}

TEST(TensorName, TellsOneExpertOfSeveral) {
  EXPECT_EQ(expert_name("blk.3.ffn_up.12.weight").number, 12);
  EXPECT_EQ(expert_name("blk.3.ffn_up.12.weight").stack, "blk.3.ffn_up");
  for (const char* name :
       {"blk.3.ffn_up.weight", "blk.3.ffn_up_exps.weight", "blk.3.attn.12.weight",
        "blk.3.ffn_up.12", "blk.3.ffn_up.-1.weight", "blk.3.ffn_up"})
    EXPECT_EQ(expert_name(name).number, -1) << name;
}

}  // namespace
}  // namespace pippin::store
