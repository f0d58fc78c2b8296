#include "hub/name.h"

#include <gtest/gtest.h>

namespace pippin::hub {
namespace {

std::string hf_text(std::string_view text) {
  const auto name = parse_hf_name(text);
  return name.ok() ? name->text() : "error";
}
std::string ollama_text(std::string_view text) {
  const auto name = parse_ollama_name(text);
  return name.ok() ? name->host + "|" + name->space + "|" + name->model + "|" + name->tag : "error";
}

TEST(HfName, PartsAreRead) {
  const auto name = parse_hf_name("org/repo-GGUF@refs/pr/1:sub/m-Q4_K_M.gguf");
  ASSERT_TRUE(name.ok()) << name.error().message;
  EXPECT_EQ(name->repo, "org/repo-GGUF");
  EXPECT_EQ(name->revision, "refs/pr/1");
  EXPECT_EQ(name->selector, "sub/m-Q4_K_M.gguf");
  EXPECT_TRUE(name->selects_file());
  EXPECT_EQ(parse_hf_name("org/repo")->revision, "main");
  EXPECT_FALSE(parse_hf_name("org/repo:Q4_K_M")->selects_file());
}

TEST(HfName, WritesItselfAsItIsTyped) {
  for (const char* text : {"a/b", "a/b:Q4_K_M", "a/b@v1", "a/b@v1:x.gguf", "Org.1/re_po-2.5"})
    EXPECT_EQ(hf_text(text), std::string("hf:") + text);
  EXPECT_EQ(hf_text("a/b@main"), "hf:a/b");
}

TEST(HfName, WhatCouldLeaveItsFolderIsRefused) {
  for (const char* text : {"",
                           "a",
                           "/",
                           "a/",
                           "/b",
                           "a/b/c",
                           "../b",
                           "a/..",
                           "a/b..c",
                           "a--b/c",
                           "-a/b",
                           "a-/b",
                           "a/.b",
                           "a/b@",
                           "a/b@../x",
                           "a/b@/x",
                           "a/b@-x",
                           "a/b@x y",
                           "a/b:",
                           "a/b:../x.gguf",
                           "a/b:/x.gguf",
                           "a/b:x/../y.gguf",
                           "a/b:x//y.gguf",
                           "a/b:x\\y.gguf",
                           "a/b:..",
                           "a/b:Q4 K",
                           "a/b:\x01.gguf",
                           "a b/c",
                           "a/b\n",
                           "a\0/b"})
    EXPECT_EQ(hf_text(text), "error") << text;
  EXPECT_EQ(hf_text(std::string(97, 'a') + "/b"), "error");
  EXPECT_EQ(hf_text("a/b:" + std::string(2000, 'a') + ".gguf"), "error");
}

TEST(OllamaName, DefaultsStandWhereNothingIsSaid) {
  EXPECT_EQ(ollama_text("qwen2.5"), "registry.ollama.ai|library|qwen2.5|latest");
  EXPECT_EQ(ollama_text("qwen2.5:0.5b"), "registry.ollama.ai|library|qwen2.5|0.5b");
  EXPECT_EQ(ollama_text("me/mine:x"), "registry.ollama.ai|me|mine|x");
  EXPECT_EQ(ollama_text("hf.co/org/repo:Q4_K_M"), "hf.co|org|repo|Q4_K_M");
  EXPECT_EQ(ollama_text("localhost:5000/a/b"), "localhost:5000|a|b|latest");
}

TEST(OllamaName, ShortTextLeavesDefaultsOut) {
  EXPECT_EQ(parse_ollama_name("qwen2.5")->short_text(), "qwen2.5:latest");
  EXPECT_EQ(parse_ollama_name("me/mine:x")->short_text(), "me/mine:x");
  EXPECT_EQ(parse_ollama_name("hf.co/org/repo:Q8_0")->text(), "ollama:hf.co/org/repo:Q8_0");
  EXPECT_EQ(parse_ollama_name("hf.co/library/repo:t")->short_text(), "hf.co/library/repo:t");
}

TEST(OllamaName, WhatCouldLeaveItsFolderIsRefused) {
  for (const char* text :
       {"",     ":",    "a:",    ":b", "a/", "/a",  "a//b", "a/b/c/d", "..",    "a/..",
        "../a", "a:..", "a:b/c", ".a", "-a", "a b", "a\n",  "a\\b",    "a:b:c", "../a/b"})
    EXPECT_EQ(ollama_text(text), "error") << text;
}

TEST(ModelName, TheSchemeDecides) {
  EXPECT_TRUE(std::holds_alternative<HfName>(*parse_model_name("hf:a/b")));
  EXPECT_TRUE(std::holds_alternative<OllamaName>(*parse_model_name("ollama:a")));
  EXPECT_FALSE(parse_model_name("a/b").ok());
  EXPECT_TRUE(is_model_name("hf:x"));
  EXPECT_FALSE(is_model_name("hfx"));
}

TEST(SafePath, StaysBelowItsFolder) {
  for (const char* path : {"a", "a/b.gguf", ".hidden", "a/..b", "a b/\xc3\xa4"})
    EXPECT_TRUE(is_safe_path(path)) << path;
  for (const char* path : {"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "a\\b", "a\nb"})
    EXPECT_FALSE(is_safe_path(path)) << path;
}

}  // namespace
}  // namespace pippin::hub
