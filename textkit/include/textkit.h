// The C ABI of textkit: tokenizers, chat templates and grammars, written in Rust.
//
// Handles are opaque, and but for matchers immutable and usable from any thread. Inputs are
// borrowed for the call and carry their length; texts are UTF-8 (other bytes are read as U+FFFD).
// Outputs are owned by the caller and given back to their tk_*_free. A function that can fail
// returns a status; unless it is TK_OK, `error` has the message and no other output is set. Each
// call's memory is bounded; where it is not enough, the status says so, or nothing is returned.
#ifndef TEXTKIT_H
#define TEXTKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  TK_OK = 0,
  TK_INVALID = 1,     /* a file or an argument is wrong */
  TK_UNSUPPORTED = 2, /* understood, but not implemented here */
  TK_RAISED = 3,      /* the template called raise_exception; the message is its own */
  TK_FAILED = 4,      /* the template failed in another way */
  TK_LIMIT = 5,       /* the template, the grammar, the text or the file went over a limit */
  TK_PANIC = 6        /* a mistake of ours inside the library */
} tk_status;

// Borrowed bytes. `data` may be null if `len` is 0.
typedef struct {
  const uint8_t* data;
  size_t len;
} tk_slice;

// Owned bytes; free with tk_buffer_free. A zeroed one is empty.
typedef struct {
  uint8_t* data;
  size_t len;
  size_t capacity;
} tk_buffer;
void tk_buffer_free(tk_buffer buffer);

// Owned token ids; free with tk_ids_free.
typedef struct {
  uint32_t* data;
  size_t len;
  size_t capacity;
} tk_ids;
void tk_ids_free(tk_ids ids);

// A piece of text. In a literal one no control token forms.
typedef struct {
  tk_slice text;
  bool literal;
} tk_span;

// ---- Tokenizer ----

typedef struct tk_tokenizer tk_tokenizer;

// What a GGUF file says of its tokenizer (keys tokenizer.ggml.*). Absent arrays have length 0,
// absent ids are -1, and flags are 0, 1, or -1 for absent.
typedef struct {
  tk_slice model;
  tk_slice pre;
  const tk_slice* tokens;
  size_t token_count;
  const float* scores;
  size_t score_count;
  const int32_t* token_types;
  size_t token_type_count;
  const tk_slice* merges;
  size_t merge_count;
  tk_slice precompiled_charsmap;
  int64_t bos;
  int64_t eos;
  int64_t unknown;
  int64_t separator;
  int8_t add_bos;
  int8_t add_eos;
  int8_t add_space_prefix;
  int8_t remove_extra_whitespaces;
  int8_t lowercase;
  int8_t strip_accents;
} tk_gguf_vocabulary;

tk_status tk_tokenizer_from_gguf(const tk_gguf_vocabulary* vocabulary, tk_tokenizer** tokenizer,
                                 tk_buffer* error);
// What tokenizer_config.json and the model's other files say of a tokenizer.json. Texts may be
// empty; flags are 0, 1, or -1 for absent; `size` is the model's number of tokens, 0 if unknown.
typedef struct {
  tk_slice bos;
  tk_slice eos;
  int8_t add_bos;
  int8_t add_eos;
  size_t size;
} tk_tokenizer_config;
// Reads a Hugging Face tokenizer.json.
tk_status tk_tokenizer_from_json(tk_slice json, const tk_tokenizer_config* config,
                                 tk_tokenizer** tokenizer, tk_buffer* error);
// Says a tokenizer.json by the keys of GGUF files: an object of JSON with the fields of
// tk_gguf_vocabulary, and "notes" for a person. Both forms were compared.
tk_status tk_tokenizer_gguf_of_json(tk_slice json, const tk_tokenizer_config* config,
                                    tk_buffer* vocabulary, tk_buffer* error);
void tk_tokenizer_free(tk_tokenizer* tokenizer);

// Gives the ids of the spans' joined text, with BOS and EOS as the file asks if `add_special`. Of
// more than `ids_max` the last may be missing, but more than `ids_max` are given.
tk_status tk_tokenizer_encode(const tk_tokenizer* tokenizer, const tk_span* spans,
                              size_t span_count, bool add_special, size_t ids_max, tk_ids* ids,
                              tk_buffer* error);
// Returns the most bytes of a text that one token stands for; 0: any number, as the tokenizer drops
// or joins text.
size_t tk_tokenizer_bytes_per_token_max(const tk_tokenizer* tokenizer);
// Gives the bytes of one token; those of a control token only if `special`. Unknown ids have none.
tk_buffer tk_tokenizer_token_bytes(const tk_tokenizer* tokenizer, uint32_t token, bool special);
// Returns the id of a token by its exact text, or -1.
int64_t tk_tokenizer_token_of(const tk_tokenizer* tokenizer, tk_slice text);
bool tk_tokenizer_is_control(const tk_tokenizer* tokenizer, uint32_t token);
// Whether a token is a marker: a control token, or one of visible text written "<|...|>".
bool tk_tokenizer_is_mark(const tk_tokenizer* tokenizer, uint32_t token);
size_t tk_tokenizer_vocab_size(const tk_tokenizer* tokenizer);
// Returns -1 where the model has none.
int64_t tk_tokenizer_bos(const tk_tokenizer* tokenizer);
int64_t tk_tokenizer_eos(const tk_tokenizer* tokenizer);
bool tk_tokenizer_adds_bos(const tk_tokenizer* tokenizer);
// Whether the first space of an answer is not part of it.
bool tk_tokenizer_strips_first_space(const tk_tokenizer* tokenizer);

// ---- Chat template ----

typedef struct tk_template tk_template;

// `unix_time` of a render that is to tell the real time by strftime_now().
#define TK_NOW INT64_MIN

tk_status tk_template_compile(tk_slice source, tk_template** compiled, tk_buffer* error);
void tk_template_free(tk_template* compiled);

// Renders with a context of JSON text.
tk_status tk_template_render(const tk_template* compiled, tk_slice context_json, int64_t unix_time,
                             tk_buffer* text, tk_buffer* error);

// A rendered text, and where in it literal spans start and end: byte offsets, two a span, sorted.
typedef struct {
  tk_buffer text;
  tk_ids literal_ends;
} tk_rendered;

// Renders the same text, and tells where the caller's strings look like control tokens.
tk_status tk_template_render_spans(const tk_template* compiled, tk_slice context_json,
                                   const tk_tokenizer* tokenizer, int64_t unix_time,
                                   tk_rendered* rendered, tk_buffer* error);

// ---- Grammar ----

// A model's tokens, prepared for grammars. The tokenizer outlives it and all that is made from it.
typedef struct tk_vocabulary tk_vocabulary;
typedef struct tk_grammar tk_grammar;
// A grammar's place in one text. Used by one thread at a time.
typedef struct tk_matcher tk_matcher;

typedef enum {
  TK_JSON_SCHEMA = 0,
  TK_REGEX = 1, /* the whole text must match */
  TK_LARK = 2,  /* llguidance's dialect; starts at `start` */
  TK_GBNF = 3   /* starts at `root` */
} tk_syntax;

// `ends` are the tokens that may end a text. Cost: tenths of a second for a large vocabulary.
tk_status tk_vocabulary_new(const tk_tokenizer* tokenizer, const uint32_t* ends, size_t end_count,
                            tk_vocabulary** vocabulary, tk_buffer* error);
void tk_vocabulary_free(tk_vocabulary* vocabulary);

// Gives a JSON Schema as %json takes it in a Lark grammar. What is wrong or cannot be enforced is
// TK_INVALID, with its place inside `place`, as "Invalid 'PLACE.properties.a.type': .."; the latter
// is left out if `lenient`.
tk_status tk_schema_check(tk_slice schema, bool lenient, tk_slice place, tk_buffer* checked,
                          tk_buffer* error);

// Gives a GBNF grammar as Lark.
tk_status tk_gbnf_to_lark(tk_slice source, tk_buffer* lark, tk_buffer* error);

// Gives a Lark grammar for the texts of another one as they stand in a JSON string.
tk_status tk_lark_in_json(tk_slice source, tk_buffer* lark, tk_buffer* error);

// Errors: TK_INVALID with the compiler's message, TK_LIMIT.
tk_status tk_grammar_compile(const tk_vocabulary* vocabulary, tk_syntax syntax, tk_slice source,
                             tk_grammar** grammar, tk_buffer* error);
void tk_grammar_free(tk_grammar* grammar);
// Returns a matcher at the start, independent of the grammar's life; null where there is no memory.
tk_matcher* tk_grammar_start(const tk_grammar* grammar);

void tk_matcher_free(tk_matcher* matcher);
// Writes the tokens that may come next: bit t % 32 of word t / 32. After the end, the ends.
tk_status tk_matcher_fill_mask(tk_matcher* matcher, uint32_t* words, size_t word_count,
                               tk_buffer* error);
tk_status tk_matcher_accept(tk_matcher* matcher, const uint32_t* tokens, size_t token_count,
                            tk_buffer* error);
// Gives the tokens that must come next; none where there is a choice.
tk_ids tk_matcher_forced(tk_matcher* matcher);
// Returns whether the text may end here, and whether it must.
bool tk_matcher_is_accepting(tk_matcher* matcher);
bool tk_matcher_is_complete(const tk_matcher* matcher);

#ifdef __cplusplus
}
#endif
#endif
