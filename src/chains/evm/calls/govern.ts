import { namedArguments } from "./arguments.ts";
import { meaning, meaningsOf, type Meaning } from "./meaning.ts";

/** A function that changes who commands a contract, or what its code is. */
function govern(signature: string): Meaning {
  const self: Meaning = meaning(signature, ({ from, to }, values) => [
    {
      kind: "govern",
      from,
      to,
      method: self.compiled.signature,
      arguments: namedArguments(self.compiled.inputs, values),
    },
  ]);
  return self;
}

/** Ownable, AccessControl, ERC-1967 and UUPS proxies: at any pinned contract. */
export const GOVERN = meaningsOf(
  ...[
    "transferOwnership(address newOwner)",
    "acceptOwnership()",
    "renounceOwnership()",
    "grantRole(bytes32 role,address account)",
    "revokeRole(bytes32 role,address account)",
    "renounceRole(bytes32 role,address account)",
    "changeAdmin(address newAdmin)",
    "upgradeTo(address newImplementation)",
    "upgradeToAndCall(address newImplementation,bytes data)",
  ].map(govern),
);

/** Source: safe-global/safe-smart-account, OwnerManager, ModuleManager, GuardManager, FallbackManager, up to 1.5. */
export const GOVERN_SAFE: readonly Meaning[] = [
  "setup(address[] owners,uint256 threshold,address to,bytes data,address fallbackHandler,address paymentToken,uint256 payment,address paymentReceiver)",
  "addOwnerWithThreshold(address owner,uint256 threshold)",
  "removeOwner(address prevOwner,address owner,uint256 threshold)",
  "swapOwner(address prevOwner,address oldOwner,address newOwner)",
  "changeThreshold(uint256 threshold)",
  "enableModule(address module)",
  "disableModule(address prevModule,address module)",
  "setGuard(address guard)",
  "setModuleGuard(address moduleGuard)",
  "setFallbackHandler(address handler)",
  "changeMasterCopy(address masterCopy)",
].map(govern);
