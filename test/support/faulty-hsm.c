/*
 * A PKCS#11 module that forwards to another one and goes wrong on demand: the troubles of a real HSM, without one.
 *
 * FAULTY_HSM_MODULE names the real module, FAULTY_HSM_CONTROL a file that a test and this module share in memory:
 * one `struct rule` for each function below, in this order (the test's side is faulty-hsm.ts).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <pkcs11.h>

enum function {
  INITIALIZE, FINALIZE, GET_TOKEN_INFO, OPEN_SESSION, CLOSE_SESSION, LOGIN, FIND_OBJECTS_INIT, GET_ATTRIBUTE_VALUE,
  SIGN_INIT, SIGN, GENERATE_KEY_PAIR, SET_PIN, FUNCTIONS
};

enum kind {
  NONE,
  ANSWER,            /* value is the CKR code; the real module is not called */
  ANSWER_AFTERWARDS, /* the real module did its work, and the answer was lost */
  DELAY,             /* value is milliseconds; then as usual */
  HANG,              /* until the rule is cleared */
  CRASH,             /* a segmentation fault */
  FLIP_BIT,          /* SIGN: in the last byte of the signature */
  OTHER_KEY,         /* SIGN_INIT: another private key of the same token */
  STALE_HANDLE,      /* SIGN_INIT: as if the key's handle were of an earlier session */
  LOSE_SESSION,      /* the session is closed before it is used */
  LOSE_ALL_SESSIONS, /* every session of the token is closed, and with them the login */
  UNINITIALIZE,      /* the module forgets that it was initialised */
  CRASH_AFTERWARDS   /* the real module did its work, and the process dies before anybody learns of it */
};

#define LABEL_BYTES 32

struct rule {
  uint64_t calls;
  int32_t remaining; /* how many calls it still strikes; negative: all of them */
  uint32_t kind;
  uint64_t value;
  char label[LABEL_BYTES]; /* blank-padded: strikes this token only; first byte zero: every token */
  uint64_t until_initialize; /* not zero: the next successful C_Initialize ends it */
};

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST faulty;
static volatile struct rule *rules;

/* As if C_Finalize had been called; it really is only before the next C_Initialize, since other threads may be signing. */
static volatile int forgotten;

/* SoftHSM frees a session that another thread is signing on, and dies: sessions are taken away between signatures. */
static pthread_rwlock_t signing = PTHREAD_RWLOCK_INITIALIZER;

static void sleep_ms(long milliseconds) {
  struct timespec time = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
  nanosleep(&time, NULL);
}

static CK_SLOT_ID slot_of(CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info;
  return real->C_GetSessionInfo(session, &info) == CKR_OK ? info.slotID : (CK_SLOT_ID)-1;
}

static int concerns(volatile struct rule *rule, CK_SLOT_ID slot) {
  CK_TOKEN_INFO info;
  if (rule->label[0] == 0) return 1;
  if (real->C_GetTokenInfo(slot, &info) != CKR_OK) return 0;
  return memcmp((const void *)rule->label, info.label, LABEL_BYTES) == 0;
}

/* The rule that strikes this call, or NULL. Several threads call: each strike is counted once. */
static volatile struct rule *strikes(enum function function, CK_SLOT_ID slot) {
  volatile struct rule *rule = &rules[function];
  __atomic_add_fetch(&rule->calls, 1, __ATOMIC_SEQ_CST);
  if (rule->kind == NONE || !concerns(rule, slot)) return NULL;
  int32_t remaining = __atomic_load_n(&rule->remaining, __ATOMIC_SEQ_CST);
  while (remaining > 0)
    if (__atomic_compare_exchange_n(&rule->remaining, &remaining, remaining - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return rule;
  return remaining < 0 ? rule : NULL;
}

static void before(volatile struct rule *rule, CK_SESSION_HANDLE session) {
  switch (rule->kind) {
    case DELAY: sleep_ms((long)rule->value); break;
    case HANG: while (rule->kind == HANG) sleep_ms(5); break;
    case CRASH: *(volatile int *)0 = 1; break;
    case LOSE_SESSION: real->C_CloseSession(session); break;
    case LOSE_ALL_SESSIONS:
      pthread_rwlock_wrlock(&signing);
      real->C_CloseAllSessions(slot_of(session));
      pthread_rwlock_unlock(&signing);
      break;
    case UNINITIALIZE: forgotten = 1; break;
  }
}

#define FORWARD(function, slot, session, call)                                      \
  volatile struct rule *rule = strikes(function, slot);                             \
  if (rule) before(rule, session);                                                  \
  if (forgotten) return CKR_CRYPTOKI_NOT_INITIALIZED;                               \
  if (!rule) return call;                                                           \
  if (rule->kind == ANSWER) return (CK_RV)rule->value;                              \
  if (rule->kind == ANSWER_AFTERWARDS) { call; return (CK_RV)rule->value; }         \
  if (rule->kind == CRASH_AFTERWARDS) { call; raise(SIGSEGV); }                     \
  return call

static CK_RV initialize(void *arguments) {
  volatile struct rule *rule = strikes(INITIALIZE, 0);
  if (rule) before(rule, 0);
  if (rule && rule->kind == ANSWER) return (CK_RV)rule->value;
  if (forgotten) real->C_Finalize(NULL);
  forgotten = 0;
  CK_RV rv = real->C_Initialize(arguments);
  for (int i = 0; rv == CKR_OK && i < FUNCTIONS; i++)
    if (rules[i].until_initialize) rules[i].kind = NONE;
  return rv;
}

static CK_RV finalize(void *reserved) { FORWARD(FINALIZE, 0, 0, real->C_Finalize(reserved)); }

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
  FORWARD(GET_TOKEN_INFO, slot, 0, real->C_GetTokenInfo(slot, info));
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session) {
  FORWARD(OPEN_SESSION, slot, 0, real->C_OpenSession(slot, flags, application, notify, session));
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
  FORWARD(CLOSE_SESSION, slot_of(session), session, real->C_CloseSession(session));
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length) {
  FORWARD(LOGIN, slot_of(session), session, real->C_Login(session, user, pin, length));
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *wanted, CK_ULONG count) {
  FORWARD(FIND_OBJECTS_INIT, slot_of(session), session, real->C_FindObjectsInit(session, wanted, count));
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count) {
  FORWARD(GET_ATTRIBUTE_VALUE, slot_of(session), session, real->C_GetAttributeValue(session, object, attributes, count));
}

/* On a session of its own: this one may have a search or a signature under way. */
static CK_OBJECT_HANDLE other_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
  CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
  CK_ATTRIBUTE wanted = {CKA_CLASS, &private_key, sizeof private_key};
  CK_SESSION_HANDLE own;
  CK_OBJECT_HANDLE found[16], other = key;
  CK_ULONG count = 0;
  real->C_OpenSession(slot_of(session), CKF_SERIAL_SESSION, NULL, NULL, &own);
  real->C_FindObjectsInit(own, &wanted, 1);
  real->C_FindObjects(own, found, 16, &count);
  real->C_CloseSession(own);
  while (count-- > 0)
    if (found[count] != key) other = found[count];
  return other;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
  volatile struct rule *rule = strikes(SIGN_INIT, slot_of(session));
  if (rule) before(rule, session);
  if (forgotten) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (!rule) return real->C_SignInit(session, mechanism, key);
  if (rule->kind == ANSWER) return (CK_RV)rule->value;
  if (rule->kind == OTHER_KEY) key = other_key(session, key);
  if (rule->kind == STALE_HANDLE) key += 1000000;
  return real->C_SignInit(session, mechanism, key);
}

static CK_RV real_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length, CK_BYTE *signature, CK_ULONG *length) {
  pthread_rwlock_rdlock(&signing);
  CK_RV rv = real->C_Sign(session, data, data_length, signature, length);
  pthread_rwlock_unlock(&signing);
  return rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length, CK_BYTE *signature, CK_ULONG *length) {
  volatile struct rule *rule = strikes(SIGN, slot_of(session));
  if (rule) before(rule, session);
  if (forgotten) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (!rule) return real_sign(session, data, data_length, signature, length);
  if (rule->kind == ANSWER) return (CK_RV)rule->value;
  CK_RV rv = real_sign(session, data, data_length, signature, length);
  if (rule->kind == FLIP_BIT && rv == CKR_OK && signature) signature[*length - 1] ^= 1;
  return rule->kind == ANSWER_AFTERWARDS ? (CK_RV)rule->value : rv;
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public, CK_ULONG public_count,
                               CK_ATTRIBUTE *private, CK_ULONG private_count, CK_OBJECT_HANDLE *public_key,
                               CK_OBJECT_HANDLE *private_key) {
  FORWARD(GENERATE_KEY_PAIR, slot_of(session), session,
          real->C_GenerateKeyPair(session, mechanism, public, public_count, private, private_count, public_key, private_key));
}

static CK_RV set_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR *old, CK_ULONG old_length, CK_UTF8CHAR *new, CK_ULONG new_length) {
  FORWARD(SET_PIN, slot_of(session), session, real->C_SetPIN(session, old, old_length, new, new_length));
}

static CK_RV load(void) {
  const char *module = getenv("FAULTY_HSM_MODULE"), *control = getenv("FAULTY_HSM_CONTROL");
  void *library = module ? dlopen(module, RTLD_NOW | RTLD_LOCAL) : NULL;
  CK_C_GetFunctionList get_function_list = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
  int file = control ? open(control, O_RDWR) : -1;
  if (!get_function_list || file < 0) return CKR_GENERAL_ERROR;
  rules = mmap(NULL, FUNCTIONS * sizeof *rules, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return rules == MAP_FAILED ? CKR_GENERAL_ERROR : get_function_list(&real);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
  CK_RV rv = load();
  if (rv != CKR_OK) return rv;
  faulty = *real;
  faulty.C_Initialize = initialize;
  faulty.C_Finalize = finalize;
  faulty.C_GetTokenInfo = get_token_info;
  faulty.C_OpenSession = open_session;
  faulty.C_CloseSession = close_session;
  faulty.C_Login = login;
  faulty.C_FindObjectsInit = find_objects_init;
  faulty.C_GetAttributeValue = get_attribute_value;
  faulty.C_SignInit = sign_init;
  faulty.C_Sign = sign;
  faulty.C_GenerateKeyPair = generate_key_pair;
  faulty.C_SetPIN = set_pin;
  *list = &faulty;
  return CKR_OK;
}
