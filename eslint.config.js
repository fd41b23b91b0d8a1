import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {ignores: ['.cache', 'build', 'node_modules']},
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {projectService: {allowDefaultProject: ['*.js']}, tsconfigRootDir: import.meta.dirname},
    },
    rules: {
      '@typescript-eslint/array-type': ['error', {default: 'array-simple'}],
      '@typescript-eslint/prefer-nullish-coalescing': ['error', {ignorePrimitives: {string: true}}],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', {considerDefaultExhaustiveForUnions: true}],
      // Plain functions in interfaces read better, and none of them uses `this`.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true}],
      '@typescript-eslint/no-confusing-void-expression': ['error', {ignoreArrowShorthand: true}],
      '@typescript-eslint/no-empty-function': ['error', {allow: ['arrowFunctions']}],
      // A look-up by a checked index needs it under noUncheckedIndexedAccess.
      '@typescript-eslint/no-non-null-assertion': 'off',
      'max-lines-per-function': ['error', {max: 60, skipComments: true, skipBlankLines: true}],
    },
  },
  {files: ['*.js'], extends: [tseslint.configs.disableTypeChecked], languageOptions: {globals: {process: 'readonly', console: 'readonly'}}},
);
